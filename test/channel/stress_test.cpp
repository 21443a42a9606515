// Everything at once on one channel. Every value has an identity: it is received exactly once, or
// its sender was told that it was not sent.
#include "../support.hpp"
#include "../time_helpers.hpp"

#include <sluice/channel.hpp>
#include <sluice/select.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/timeout.hpp>
#include <sluice/timer.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/test/unit_test.hpp>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

/// What has become of every value. Thread safe.
class ledger {
 public:
  explicit ledger(std::size_t most) : fates_(most) {}

  /// A value that has not existed yet.
  [[nodiscard]] counted make() { return counted(static_cast<int>(made_.fetch_add(1))); }

  void sent(int id) { ++at(id).sent; }
  void not_sent(int id) { ++at(id).not_sent; }
  void received(int id) {
    ++at(id).received;
    received_.fetch_add(1, std::memory_order_relaxed);
  }
  void told(int id, const error_code& e) { e ? not_sent(id) : sent(id); }

  [[nodiscard]] std::size_t made() const { return made_; }
  [[nodiscard]] std::size_t received() const { return received_.load(std::memory_order_relaxed); }

  /// How many values have a fate that none may have.
  [[nodiscard]] std::size_t wrong() const {
    std::size_t n = 0;
    for (std::size_t i = 0; i < made(); ++i) {
      const fate& f = fates_[i];
      n += !(f.sent + f.not_sent == 1 && f.received == f.sent);
    }
    return n;
  }
  [[nodiscard]] std::size_t refused() const {
    std::size_t n = 0;
    for (const fate& f : fates_) n += f.not_sent;
    return n;
  }

 private:
  struct fate {
    std::atomic<std::uint8_t> sent{0};
    std::atomic<std::uint8_t> not_sent{0};
    std::atomic<std::uint8_t> received{0};
  };
  fate& at(int id) { return fates_.at(static_cast<std::size_t>(id)); }

  std::vector<fate> fates_;
  std::atomic<std::size_t> made_{0};
  std::atomic<std::size_t> received_{0};
};

/// One channel and all who use it.
class exchange {
 public:
  static constexpr std::size_t kinds_of_senders = 6;
  static constexpr std::size_t senders_of_each_kind = 2;
  static constexpr std::size_t senders = kinds_of_senders * senders_of_each_kind;

  exchange(asio::io_context& io, std::size_t capacity, std::size_t each)
      : io_(io), ch_(make_channel<counted>(capacity)), each_(each), book(senders * each) {}

  /// Starts all but the plain threads.
  void start() {
    for (std::uint64_t i = 0; i < senders_of_each_kind; ++i) {
      sluice::go(io_, send(i));
      sluice::go(io_, send_in_time(i));
      sluice::go(io_, try_to_send(i));
      sluice::go(io_, send_in_select(i));
      std::make_shared<sending_handler>(*this, i)->begin();
    }
    // Fewer than senders, so that those have to wait.
    sluice::go(io_, receive(0));
    sluice::go(io_, receive_in_time(0));
    sluice::go(io_, try_to_receive(0));
    sluice::go(io_, receive_in_select(0));
    std::make_shared<receiving_handler>(*this, 0)->begin();
  }

  /// What a plain thread does; there are as many of them as senders of a kind.
  void send_with_futures() {
    for (std::size_t i = 0; i < each_ && !closed_; ++i) {
      counted value = book.make();
      const int id = value.value;
      error_code e;
      try {
        ch_.async_send(std::move(value), asio::use_future).get();
      } catch (const sluice::system_error& x) {
        e = x.code();
      }
      note_sent(id, e);
    }
    sender_is_done();
  }
  void receive_with_futures() {
    while (auto v = ch_.async_receive(asio::use_future).get()) book.received(v->value);
  }

  /// Closes the channel in the middle of the traffic.
  task<> close_early() {
    while (book.received() < senders * each_ / 3) co_await yield();
    close();
  }

  /// Takes what is left when all have ended.
  void drain() {
    error_code e;
    while (auto v = ch_.try_receive(e)) book.received(v->value);
    right.expect(ch_.size() == 0, "the channel is empty at the end");
  }

 private:
  asio::io_context& io_;
  channel<counted> ch_;
  const std::size_t each_;
  std::atomic<std::size_t> senders_left_ = senders;
  std::atomic<bool> closed_ = false;

 public:
  ledger book;
  findings right;

 private:
  void close() {
    closed_ = true;
    try {
      ch_.close();
    } catch (const sluice::system_error& x) {
      right.expect(x.code() == sluice_test::closed, "a second close says so");
    }
  }
  void sender_is_done() {
    if (--senders_left_ == 0) close();
  }
  void note_sent(int id, const error_code& e) {
    right.expect(
        !e || e == sluice_test::closed || e == aborted || e == timed_out || e == would_block,
        "a send ends with an error of its own");
    book.told(id, e);
  }
  /// The operation has its value again if it was not sent.
  void note_sent(sluice::send_operation<counted>& op, int id, const error_code& e) {
    if (e) right.expect(op.value().value == id, "a value that was not sent is still there");
    note_sent(id, e);
  }

  task<> send(std::uint64_t seed) {
    random_numbers random(seed);
    for (std::size_t i = 0; i < each_ && !closed_; ++i) {
      auto op = ch_.send(book.make());
      const int id = op.value().value;
      error_code e;
      try {
        co_await op;
      } catch (const sluice::system_error& x) {
        e = x.code();
      }
      note_sent(op, id, e);
      if (random.below(4) == 0) co_await yield();
    }
    sender_is_done();
  }

  task<> send_in_time(std::uint64_t seed) {
    random_numbers random(seed + 10);
    for (std::size_t i = 0; i < each_ && !closed_; ++i) {
      auto op = ch_.send(book.make());
      const int id = op.value().value;
      error_code e;
      try {
        co_await sluice::timeout(op, random.below(30) * 1us);
      } catch (const sluice::system_error& x) {
        e = x.code();
      }
      note_sent(op, id, e);
    }
    sender_is_done();
  }

  task<> try_to_send(std::uint64_t seed) {
    random_numbers random(seed + 20);
    for (std::size_t i = 0; i < each_ && !closed_; ++i) {
      counted value = book.make();
      const int id = value.value;
      error_code e;
      for (std::size_t k = random.below(20); !ch_.try_send(std::move(value), e) && k != 0; --k) {
        right.expect(value.value == id, "a value that was not sent is untouched");
        co_await yield();
      }
      note_sent(id, e);
      if (random.below(2) == 0) co_await yield();
    }
    sender_is_done();
  }

  task<> send_in_select(std::uint64_t seed) {
    random_numbers random(seed + 30);
    for (std::size_t i = 0; i < each_ && !closed_; ++i) {
      auto op = ch_.send(book.make());
      const int id = op.value().value;
      error_code e;
      try {
        const auto r = co_await sluice::select(op, sluice::sleep_for(random.below(30) * 1us));
        if (r.index() != 0) e = timed_out;
      } catch (const sluice::system_error& x) {
        e = x.code();
      }
      note_sent(op, id, e);
    }
    sender_is_done();
  }

  task<> receive(std::uint64_t seed) {
    random_numbers random(seed + 40);
    while (const auto v = co_await ch_.receive()) {
      book.received(v->value);
      if (random.below(4) == 0) co_await yield();
    }
  }

  task<> receive_in_time(std::uint64_t seed) {
    random_numbers random(seed + 50);
    for (;;) {
      auto op = ch_.receive();
      try {
        const auto v = co_await sluice::timeout(op, random.below(30) * 1us);
        if (!v) co_return;
        book.received(v->value);
      } catch (const sluice::system_error& x) {
        right.expect(x.code() == timed_out, "a receive ends with a value or its time is out");
      }
    }
  }

  task<> try_to_receive(std::uint64_t seed) {
    random_numbers random(seed + 60);
    for (;;) {
      error_code e;
      if (const auto v = ch_.try_receive(e))
        book.received(v->value);
      else if (!e)
        co_return;
      if (e || random.below(4) == 0) co_await sluice::sleep_for(random.below(20) * 1us);
    }
  }

  task<> receive_in_select(std::uint64_t seed) {
    random_numbers random(seed + 70);
    for (;;) {
      auto r = co_await sluice::select(ch_.receive(), sluice::sleep_for(random.below(30) * 1us));
      if (r.index() != 0) continue;
      const auto& v = r.get<0>();
      if (!v) co_return;
      book.received(v->value);
    }
  }

  /// A chain of operations with handlers on a strand, some of them cancelled through a slot.
  template <class Derived>
  class handler_chain : public std::enable_shared_from_this<handler_chain<Derived>> {
   public:
    handler_chain(exchange& e, std::uint64_t seed)
        : owner_(e), strand_(asio::make_strand(e.io_)), random_(seed + 80) {}

    void begin() {
      asio::post(strand_, [self = this->shared_from_this()] { self->derived().next(); });
    }

   protected:
    template <class Function>
    auto handler(Function f) {
      if (random_.below(3) == 0)
        asio::post(strand_, [self = this->shared_from_this()] {
          self->signal_.emit(asio::cancellation_type::terminal);
        });
      return asio::bind_cancellation_slot(signal_.slot(),
                                          asio::bind_executor(strand_, std::move(f)));
    }

    exchange& owner_;

   private:
    Derived& derived() { return static_cast<Derived&>(*this); }

    asio::strand<asio::io_context::executor_type> strand_;
    random_numbers random_;
    asio::cancellation_signal signal_;
  };

  class sending_handler final : public handler_chain<sending_handler> {
   public:
    using handler_chain::handler_chain;
    void next() {
      auto& o = owner_;
      if (done_++ == o.each_ || o.closed_) return o.sender_is_done();
      counted value = o.book.make();
      const int id = value.value;
      o.ch_.async_send(std::move(value),
                       handler([this, &o, id, self = shared_from_this()](error_code e) {
                         o.note_sent(id, e);
                         next();
                       }));
    }

   private:
    std::size_t done_ = 0;
  };

  class receiving_handler final : public handler_chain<receiving_handler> {
   public:
    using handler_chain::handler_chain;
    void next() {
      auto& o = owner_;
      o.ch_.async_receive(
          handler([this, &o, self = shared_from_this()](error_code e, std::optional<counted> v) {
            o.right.expect(!e || e == aborted, "a receive ends with a value or was cancelled");
            o.right.expect(!e || !v, "a cancelled receive has taken nothing");
            if (v) o.book.received(v->value);
            if (v || e) next();
          }));
    }
  };
};

/// Lets all of them loose and checks the books.
void run_exchange(int threads, std::size_t capacity, bool closed_early) {
  const watchdog dog;
  counted::corrupt = 0;
  {
    asio::io_context io;
    exchange all(io, capacity, rounds(1'500));
    all.start();
    if (closed_early) sluice::go(io, all.close_early());
    constexpr auto plain = static_cast<int>(exchange::senders_of_each_kind);
    on_threads(threads + 2 * plain, [&](int i) {
      if (i < threads)
        io.run();
      else if (i < threads + plain)
        all.send_with_futures();
      else
        all.receive_with_futures();
    });
    all.drain();
    BOOST_TEST_MESSAGE(threads << " threads, capacity " << capacity << ": " << all.book.made()
                               << " values, " << all.book.received() << " received, "
                               << all.book.refused() << " not sent");
    BOOST_TEST(all.right.text() == "");
    BOOST_TEST(all.book.wrong() == 0u);
    BOOST_TEST(all.book.received() + all.book.refused() == all.book.made());
    BOOST_TEST(all.book.received() > 0u);
  }
  BOOST_TEST(counted::alive == 0);
  BOOST_TEST(counted::corrupt == 0);
}

}  // namespace

BOOST_AUTO_TEST_SUITE(every_value_is_received_once_or_its_sender_was_told)

// Source: nim-lang/Nim#26230, crossbeam-rs/crossbeam#1187, tokio-rs/tokio#5947
BOOST_AUTO_TEST_CASE(whatever_the_number_of_threads_and_the_capacity) {
  for (int threads = 1; threads <= 4; ++threads)
    for (const std::size_t capacity : {0U, 1U, 7U}) run_exchange(threads, capacity, false);
}

// Source: golang/go#30372, #14079
BOOST_AUTO_TEST_CASE(if_the_channel_is_closed_in_the_midst_of_it) {
  for (int threads = 1; threads <= 4; ++threads)
    for (const std::size_t capacity : {0U, 1U, 7U}) run_exchange(threads, capacity, true);
}

BOOST_AUTO_TEST_SUITE_END()

// A sender moves into the buffer as a value leaves it; who looks without the lock must not come in
// between.
BOOST_AUTO_TEST_CASE(a_channel_is_never_found_empty_while_senders_wait) {
  const watchdog dog;
  for (std::size_t round = 0; round < rounds(50); ++round) {
    constexpr int values = 2'000;
    asio::io_context io;
    const auto ch = make_channel<int>(io, 1);
    for (int i = 0; i < values; ++i) ch.async_send(i, [](error_code) {});
    std::atomic<bool> found_empty{false};
    std::atomic<int> received{0};
    std::atomic<int> received_late{0};
    on_threads(2, [&](int) {
      for (;;) {
        const bool late = found_empty;
        error_code e;
        if (!ch.try_receive(e)) break;
        ++received;
        if (late) ++received_late;
      }
      found_empty = true;
    });
    io.run();
    BOOST_TEST(received == values);
    BOOST_TEST(received_late == 0);
  }
}
