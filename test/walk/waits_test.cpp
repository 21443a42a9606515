// Claims and withdrawals of those who wait, in the interleavings of two or three threads: the
// library's own channels and selects, with the scheduler that its threads pin.

#include "walk/walked_library.hpp"

#include <boost/test/unit_test.hpp>

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <source_location>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

/// A context and two channels of it with room for one value.
struct place {
  place() {
    for (auto& c : channels)
      c = &walked::channel_core::make(walked::element_type_of<int>, 1, walked::dispatcher_ptr(home),
                                      std::source_location::current());
    // The order of locks is that of addresses, and the same in every interleaving.
    if (std::less<>()(channels[1], channels[0])) std::swap(channels[0], channels[1]);
  }
  ~place() {
    for (auto* c : channels)
      if (c) c->release();
    loop.shut_down();
  }

  void send(std::size_t to, int value) {
    if (channels[to]->try_send(&value) != walked::channel_core::result::done)
      walk::fail("a value has no place");
  }

  walked_loop loop;
  walked::scheduler& home = scheduler_of(loop);
  std::array<walked::channel_core*, 2> channels{};
};

/// A handler that waits for one of two values.
struct waiting_select : walked::parked_handler, walked::waker {
  explicit waiting_select(place& p)
      : parked_handler([](parked_handler& h) noexcept {
          auto& self = static_cast<waiting_select&>(h);
          self.wait.forget();
          self.ended_with_context.store(true);
        }),
        waker([](waker& w) noexcept { static_cast<waiting_select&>(w).wake_once(); }, &p.home) {
    for (std::uint32_t i = 0; i != 2; ++i) {
      waiters[i].core = p.channels[i];
      waiters[i].index = i;
      waiters[i].element_address = &received[i];
      entries[i] = {&waiters[i], &walked::receive_functions, nullptr};
    }
  }

  void wake_once() noexcept {
    if (woken.fetch_add(1) != 0) walk::fail("a waker is woken twice");
    if (ended_with_context.load()) walk::fail("a waker is woken after its end");
    woken.notify_all();
  }

  /// What its thread does. @return Which of its cases has happened.
  std::optional<std::size_t> run() {
    const auto b = wait.start_for_handler(*this, *this, entries, candidates);
    if (b == walked::begun::waits) {
      woken.wait(0);
      if (!home->remove(*this)) walk::fail("it is its context's");
    }
    try {
      return wait.finish();
    } catch (const walked_sluice::system_error&) {
      return std::nullopt;
    }
  }

  std::array<int, 2> received{};
  std::array<walked::failing_channel_waiter, 2> waiters;
  std::array<walked::select_entry, 2> entries;
  std::array<std::uint32_t, 2> candidates{};
  walked::select_wait wait{walked::select_wait::order::written,
                           walked::select_wait::purpose::select};
  walked_std::atomic<int> woken{0};
  walked_std::atomic<bool> ended_with_context{false};
};

/// A select of two channels, a sender to each of them.
struct two_senders : place {
  void wait_for_one() { happened = select.run(); }
  void send_to_first() { send(0, 1); }
  void send_to_second() { send(1, 2); }
  void check() {
    if (!happened) return walk::fail("a select of two values has none");
    const std::size_t other = 1 - *happened;
    if (select.received[*happened] != static_cast<int>(*happened) + 1)
      walk::fail("the select has not the value of its case");
    if (channels[*happened]->size() != 0) walk::fail("a value has come twice");
    if (channels[other]->size() != 1) walk::fail("the other value is lost");
  }

  waiting_select select{*this};
  std::optional<std::size_t> happened;
};

/// A select of two channels, a sender to one of them, and somebody who cancels it.
struct sender_and_canceller : place {
  void wait_for_one() { happened = select.run(); }
  void send_to_second() { send(1, 2); }
  void cancel() {
    if (select.wait.cancel_for_handler()) select.wake_once();
  }
  void check() {
    if (happened == 1U ? channels[1]->size() != 0 : channels[1]->size() != 1)
      walk::fail("a value is lost, or is there twice");
  }

  waiting_select select{*this};
  std::optional<std::size_t> happened;
};

/// A select whose context ends while a sender claims it.
struct sender_and_end : place {
  sender_and_end() {
    if (select.wait.start_for_handler(select, select, select.entries, select.candidates) !=
        walked::begun::waits)
      std::abort();
  }
  void send_to_first() { send(0, 1); }
  void end() { loop.shut_down(); }
  void check() {
    if (!select.ended_with_context.load()) walk::fail("what is parked outlives its context");
  }

  waiting_select select{*this};
};

/// A handler that waits for a value and is cancelled while somebody sends it and then drops the
/// last handle: what ends the channel, or its memory, is not touched after that.
class withdrawal_and_end : public place, private walked::parked_handler, private walked::waker {
 public:
  withdrawal_and_end()
      : parked_handler([](walked::parked_handler&) noexcept {}),
        waker(
            [](walked::waker& p) noexcept {
              auto& self = static_cast<withdrawal_and_end&>(p);
              self.woken.store(true);
              self.woken.notify_all();
            },
            &this->place::home) {
    w.core = channels[0];
    w.element_address = &received;
    if (walked::begin_handler_wait(*this, this, w, walked::receive_functions) !=
        walked::begun::waits)
      std::abort();
  }

  void cancel() { end_by(walked::end_handler_wait(w, walked::receive_functions)); }
  /// Looks first whether it is still in its queue, and says to nobody that it does.
  void cancel_wrongly() {
    bool ended = false;
    if (w.linked()) {
      const walked_std::lock_guard guard(w.core->lock());
      ended = walked::waiter_list::remove_if_linked(w);
    }
    end_by(ended);
  }
  void send_and_drop() {
    send(0, 7);
    std::exchange(channels[0], nullptr)->release();
  }
  void check() {
    if (!cancelled && received != 7) walk::fail("a value is lost");
  }

 protected:
  bool cancelled = false;

 private:
  void end_by(bool cancels) {
    cancelled = cancels;
    if (!cancels) woken.wait(false);
    if (!place::home.remove(static_cast<walked::parked_handler&>(*this)))
      walk::fail("it is its context's");
  }

  int received = 0;
  walked::failing_channel_waiter w;
  walked_std::atomic<bool> woken{false};
};

/// A handler that waits for a value and is cancelled while somebody chooses it for one that then
/// cannot be made.
struct cancellation_and_failure : withdrawal_and_end {
  void fail_to_send() {
    try {
      static_cast<void>(
          channels[0]->try_send_new([](void*) -> walked::boxed_ptr { throw 1; }, nullptr));
    } catch (int) {
    }
  }
  void check() {
    if (!cancelled) walk::fail("a cancellation is lost");
  }
};

/// Each of two threads sends to a channel of its own, and then looks into the other's, or takes out
/// of a full channel of its own, and then looks whether the other has room.
struct act_and_look : place {
  using result = walked::channel_core::result;

  void send_and_look_in_second() { send_and_look(0); }
  void send_and_look_in_first() { send_and_look(1); }
  void take_and_look_at_second() { take_and_look(0); }
  void take_and_look_at_first() { take_and_look(1); }
  void check() {
    if (found_nothing[0] && found_nothing[1]) walk::fail("both have found nothing");
  }

 private:
  void send_and_look(std::size_t own) {
    send(own, 1);
    auto why = result::done;
    found_nothing[own] = channels[1 - own]->has_nothing(why);
  }
  void take_and_look(std::size_t own) {
    int value = 0;
    if (channels[own]->try_receive(&value) != result::done) walk::fail("a value is lost");
    found_nothing[own] = channels[1 - own]->has_no_room();
  }

  std::array<bool, 2> found_nothing{};
};

/// Each of two threads gives back the unit of a semaphore of its own, and then asks for the
/// other's.
struct give_back_and_look {
  give_back_and_look() {
    for (auto& s : semaphores)
      if (!s->try_acquire(1)) walk::fail("a unit is not there");
  }

  void give_back_first() { give_back(0); }
  void give_back_second() { give_back(1); }
  void check() {
    if (!acquired[0] && !acquired[1]) walk::fail("both have found nothing");
    for (const std::size_t i : {0U, 1U})
      if (acquired[i]) semaphores[1 - i]->release(1);
  }

 private:
  void give_back(std::size_t own) {
    semaphores[own]->release(1);
    acquired[own] = semaphores[1 - own]->try_acquire(1);
  }

  using semaphore = walked::grant_queue::owner;
  std::array<semaphore, 2> semaphores{semaphore(1), semaphore(1)};
  std::array<bool, 2> acquired{};
};

bodies give_back_and_ask() {
  using s = give_back_and_look;
  return threads_of<s>(std::make_shared<s>(), {&s::give_back_first, &s::give_back_second});
}

bodies send_and_look() {
  using s = act_and_look;
  return threads_of<s>(std::make_shared<s>(),
                       {&s::send_and_look_in_second, &s::send_and_look_in_first});
}

bodies take_and_look() {
  using s = act_and_look;
  const auto full = std::make_shared<s>();
  for (const std::size_t i : {0U, 1U}) full->send(i, 1);
  return threads_of<s>(full, {&s::take_and_look_at_second, &s::take_and_look_at_first});
}

bodies cancel_while_a_value_fails() {
  using s = cancellation_and_failure;
  return threads_of<s>(std::make_shared<s>(), {&s::cancel, &s::fail_to_send});
}

bodies withdraw_while_channel_ends() {
  using s = withdrawal_and_end;
  return threads_of<s>(std::make_shared<s>(), {&s::cancel, &s::send_and_drop});
}

bodies withdraw_wrongly() {
  using s = withdrawal_and_end;
  return threads_of<s>(std::make_shared<s>(), {&s::cancel_wrongly, &s::send_and_drop});
}

bodies two_who_claim() {
  return threads_of<two_senders>(
      std::make_shared<two_senders>(),
      {&two_senders::wait_for_one, &two_senders::send_to_first, &two_senders::send_to_second});
}

bodies claim_and_cancel() {
  using s = sender_and_canceller;
  return threads_of<s>(std::make_shared<s>(), {&s::wait_for_one, &s::send_to_second, &s::cancel});
}

bodies claim_and_end() {
  using s = sender_and_end;
  return threads_of<s>(std::make_shared<s>(), {&s::send_to_first, &s::end});
}

}  // namespace

BOOST_AUTO_TEST_SUITE(every_interleaving_of)

BOOST_AUTO_TEST_CASE(two_senders_claims_a_select_once) {
  BOOST_TEST(wrong_of(as_it_is, two_who_claim) == "nothing");
  BOOST_TEST(wrong_of(with(walk::mistake::changes_in_steps, "selection::claim"), two_who_claim) !=
             "nothing");
  BOOST_TEST(wrong_of(with(walk::mistake::changes_in_steps, "arrive_second"), two_who_claim) !=
             "nothing");
}

BOOST_AUTO_TEST_CASE(a_sender_and_a_cancellation_ends_a_select_once) {
  BOOST_TEST(wrong_of(as_it_is, claim_and_cancel) == "nothing");
  BOOST_TEST(wrong_of(with(walk::mistake::changes_in_steps, "selection::claim"),
                      claim_and_cancel) != "nothing");
}

BOOST_AUTO_TEST_CASE(a_claim_and_the_end_of_a_context_keeps_the_waker_until_it_is_woken) {
  BOOST_TEST(wrong_of(as_it_is, claim_and_end) == "nothing");
  BOOST_TEST(wrong_of(with(walk::mistake::writes_nothing, "pin_count::add"), claim_and_end) !=
             "nothing");
}

BOOST_AUTO_TEST_CASE(a_withdrawal_and_the_end_of_a_channel_touches_nothing_that_has_gone) {
  BOOST_TEST(wrong_of(as_it_is, withdraw_while_channel_ends) == "nothing");
  BOOST_TEST(wrong_of(as_it_is, withdraw_wrongly) == "something is used after its end");
}

BOOST_AUTO_TEST_CASE(a_cancellation_and_a_value_that_cannot_be_made_cancels) {
  BOOST_TEST(wrong_of(as_it_is, cancel_while_a_value_fails) == "nothing");
}

BOOST_AUTO_TEST_CASE(two_who_send_and_then_look_finds_something) {
  BOOST_TEST(wrong_of(as_it_is, send_and_look) == "nothing");
  BOOST_TEST(wrong_of({.fences = false}, send_and_look) == "both have found nothing");
}

BOOST_AUTO_TEST_CASE(two_who_make_room_and_then_look_finds_some) {
  BOOST_TEST(wrong_of(as_it_is, take_and_look) == "nothing");
  BOOST_TEST(wrong_of({.fences = false}, take_and_look) == "both have found nothing");
}

BOOST_AUTO_TEST_CASE(two_who_give_back_and_then_ask_finds_a_unit) {
  BOOST_TEST(wrong_of(as_it_is, give_back_and_ask) == "nothing");
  BOOST_TEST(wrong_of({.fences = false}, give_back_and_ask) == "both have found nothing");
}

BOOST_AUTO_TEST_SUITE_END()
