// What waiting for the first of two channel operations loses. The same workloads on Asio's
// concurrent_channel, with awaitable_operators' || and with make_parallel_group, and on Sluice with
// select. Every value is counted: a value is lost if its sender was told that it was sent and
// nobody has seen it.
//
//   lossy_asio [VALUES [THREADS]]
#include "measure.hpp"

#include <sluice.hpp>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/experimental/concurrent_channel.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <string>
#include <variant>
#include <vector>

namespace {

namespace asio = boost::asio;
using namespace asio::experimental::awaitable_operators;
using sluice::error_code;

/// How often the two channels are ready.
enum class traffic { always, now_and_then };

struct workload {
  std::size_t values;
  std::size_t threads;
  traffic when;
};

/// A pause between two sends: none, or up to 100 µs.
class pauses {
 public:
  pauses(traffic when, std::uint32_t seed) noexcept : when_(when), state_(seed) {}

  [[nodiscard]] bool wanted() const noexcept { return when_ == traffic::now_and_then; }
  [[nodiscard]] std::chrono::microseconds next() noexcept {
    state_ = state_ * 1664525U + 1013904223U;
    return std::chrono::microseconds((state_ >> 16) % 100);
  }

 private:
  const traffic when_;
  std::uint32_t state_;
};

/// What became of values.
struct counts {
  /// Their senders were told "sent".
  std::atomic<std::size_t> sent{0};
  /// Somebody has seen them.
  std::atomic<std::size_t> received{0};
  /// Their senders were told that another case had happened.
  std::atomic<std::size_t> withheld{0};
  /// ... and somebody has seen them all the same.
  std::atomic<std::size_t> sent_all_the_same{0};
};

/// The values that one party offers to send while it also waits for values from another.
class offers {
 public:
  explicit offers(std::size_t n) : told_sent_(n), arrived_(n) {}

  void tell_sent(std::uint64_t value) noexcept { told_sent_[value] = true; }
  void arrive(std::uint64_t value) noexcept { arrived_[value] = true; }

  /// Adds them up when all have ended.
  void count(counts& c) const noexcept {
    for (std::size_t i = 0; i < arrived_.size(); ++i) {
      ++(told_sent_[i] ? c.sent : c.withheld);
      if (told_sent_[i] && arrived_[i]) ++c.received;
      if (!told_sent_[i] && arrived_[i]) ++c.sent_all_the_same;
    }
  }

 private:
  std::vector<char> told_sent_;
  std::vector<char> arrived_;
};

/// Lets the program end when its last party has.
class parties {
 public:
  parties(measure::program& program, int n) noexcept : program_(program), left_(n) {}
  /// What is to be called when a party has ended.
  [[nodiscard]] auto handler() noexcept {
    return [this](std::exception_ptr e) {
      if (e) std::rethrow_exception(e);
      if (--left_ == 0) program_.end();
    };
  }

 private:
  measure::program& program_;
  std::atomic<int> left_;
};

// --- Asio ----------------------------------------------------------------------------------------

using asio_channel = asio::experimental::concurrent_channel<void(error_code, std::uint64_t)>;

/// Waits for the first of two operations with ||.
struct with_operator {
  static constexpr const char* name = "concurrent_channel, ||";

  /// @return Whether a value came.
  static asio::awaitable<bool> receive_one_of(asio_channel& a, asio_channel& b) {
    try {
      co_await (a.async_receive(asio::use_awaitable) || b.async_receive(asio::use_awaitable));
    } catch (const std::exception&) {
      co_return false;  // both are closed
    }
    co_return true;
  }

  /// @return Whether the value was sent; otherwise one came.
  static asio::awaitable<bool> send_or_receive(asio_channel& out, std::uint64_t value,
                                               asio_channel& in) {
    const auto first = co_await (out.async_send(error_code(), value, asio::use_awaitable) ||
                                 in.async_receive(asio::use_awaitable));
    co_return first.index() == 0;
  }
};

/// Waits for the first of two operations with a parallel group.
struct with_group {
  static constexpr const char* name = "concurrent_channel, make_parallel_group";

  static asio::awaitable<bool> receive_one_of(asio_channel& a, asio_channel& b) {
    const auto [order, ea, va, eb, vb] =
        co_await asio::experimental::make_parallel_group(a.async_receive(asio::deferred),
                                                         b.async_receive(asio::deferred))
            .async_wait(asio::experimental::wait_for_one_success(), asio::use_awaitable);
    static_cast<void>(va);
    static_cast<void>(vb);
    co_return !(order[0] == 0 ? ea : eb) || !(order[1] == 0 ? ea : eb);
  }

  static asio::awaitable<bool> send_or_receive(asio_channel& out, std::uint64_t value,
                                               asio_channel& in) {
    const auto [order, es, er, v] =
        co_await asio::experimental::make_parallel_group(
            out.async_send(error_code(), value, asio::deferred), in.async_receive(asio::deferred))
            .async_wait(asio::experimental::wait_for_one_success(), asio::use_awaitable);
    static_cast<void>(er);
    static_cast<void>(v);
    co_return order[0] == 0 && !es;
  }
};

asio::awaitable<void> produce(asio_channel& out, std::size_t n, pauses p, counts& c) {
  asio::steady_timer timer(co_await asio::this_coro::executor);
  for (std::size_t i = 0; i < n; ++i) {
    if (p.wanted()) {
      timer.expires_after(p.next());
      co_await timer.async_wait(asio::use_awaitable);
    }
    co_await out.async_send(error_code(), i, asio::use_awaitable);
    ++c.sent;
  }
  out.close();
}

/// Sends until the channel is closed.
asio::awaitable<void> feed(asio_channel& out, pauses p, counts& c) {
  asio::steady_timer timer(co_await asio::this_coro::executor);
  try {
    for (;;) {
      if (p.wanted()) {
        timer.expires_after(p.next());
        co_await timer.async_wait(asio::use_awaitable);
      }
      co_await out.async_send(error_code(), 0, asio::use_awaitable);
      ++c.sent;
    }
  } catch (const boost::system::system_error&) {
  }
}

asio::awaitable<void> collect(asio_channel& in, pauses p, offers& all) {
  asio::steady_timer timer(co_await asio::this_coro::executor);
  try {
    for (;;) {
      if (p.wanted()) {
        timer.expires_after(p.next());
        co_await timer.async_wait(asio::use_awaitable);
      }
      all.arrive(co_await in.async_receive(asio::use_awaitable));
    }
  } catch (const boost::system::system_error&) {
  }
}

template <class Select>
asio::awaitable<void> consume(asio_channel& a, asio_channel& b, counts& c) {
  for (;;) {
    const bool received = co_await Select::receive_one_of(a, b);  // g++ 12: not in a condition
    if (!received) co_return;
    ++c.received;
  }
}

template <class Select>
asio::awaitable<void> exchange(asio_channel& out, asio_channel& in, std::size_t n, offers& all,
                               counts& from_in) {
  for (std::size_t i = 0; i < n; ++i) {
    const bool sent = co_await Select::send_or_receive(out, i, in);
    if (sent)
      all.tell_sent(i);
    else
      ++from_in.received;
  }
  out.close();
  in.close();
  in.cancel();
}

template <class Select>
struct on_asio {
  static constexpr const char* name = Select::name;

  static void receive(const workload& w, counts& c) {
    measure::program program(w.threads);
    parties party(program, 3);
    const auto start = [&](asio::awaitable<void> what) {
      asio::co_spawn(asio::make_strand(program.io()), std::move(what), party.handler());
    };
    asio_channel a(program.io());
    asio_channel b(program.io());
    start(produce(a, w.values / 2, pauses(w.when, 1), c));
    start(produce(b, w.values / 2, pauses(w.when, 2), c));
    start(consume<Select>(a, b, c));
    static_cast<void>(program.run());
  }

  static void send_or_receive(const workload& w, counts& out_counts, counts& in_counts) {
    measure::program program(w.threads);
    parties party(program, 3);
    const auto start = [&](asio::awaitable<void> what) {
      asio::co_spawn(asio::make_strand(program.io()), std::move(what), party.handler());
    };
    asio_channel out(program.io());
    asio_channel in(program.io());
    offers all(w.values);
    start(feed(in, pauses(w.when, 3), in_counts));
    start(collect(out, pauses(w.when, 4), all));
    start(exchange<Select>(out, in, w.values, all, in_counts));
    static_cast<void>(program.run());
    all.count(out_counts);
  }
};

// --- Sluice --------------------------------------------------------------------------------------

using sluice_channel = sluice::channel<std::uint64_t>;

sluice::task<> produce(sluice_channel out, std::size_t n, pauses p, counts& c) {
  for (std::size_t i = 0; i < n; ++i) {
    if (p.wanted()) co_await sluice::sleep_for(p.next());
    co_await out.send(i);
    ++c.sent;
  }
  out.close();
}

sluice::task<> feed(sluice_channel out, pauses p, counts& c) {
  try {
    for (;;) {
      if (p.wanted()) co_await sluice::sleep_for(p.next());
      co_await out.send(0);
      ++c.sent;
    }
  } catch (const sluice::system_error&) {
  }
}

sluice::task<> collect(sluice_channel in, pauses p, offers& all) {
  for (;;) {
    if (p.wanted()) co_await sluice::sleep_for(p.next());
    const auto v = co_await in.receive();
    if (!v) co_return;
    all.arrive(*v);
  }
}

/// A channel that is closed and drained is set to nil.
sluice::task<> consume(sluice_channel a, sluice_channel b, counts& c) {
  while (a || b) {
    auto r = co_await sluice::select(a.receive(), b.receive());
    const auto& v = r.index() == 0 ? r.get<0>() : r.get<1>();
    if (v)
      ++c.received;
    else
      (r.index() == 0 ? a : b) = {};
  }
}

sluice::task<> exchange(sluice_channel out, sluice_channel in, std::size_t n, offers& all,
                        counts& from_in) {
  for (std::size_t i = 0; i < n; ++i) {
    auto r = co_await sluice::select(out.send(i), in.receive());
    if (r.index() == 0)
      all.tell_sent(i);
    else
      ++from_in.received;
  }
  out.close();
  in.close();
}

struct on_sluice {
  static constexpr const char* name = "sluice::channel, select";

  static void receive(const workload& w, counts& c) {
    measure::program program(w.threads);
    parties party(program, 3);
    sluice_channel a = sluice::make_channel<std::uint64_t>(program.io());
    sluice_channel b = sluice::make_channel<std::uint64_t>(program.io());
    sluice::go(program.io(), produce(a, w.values / 2, pauses(w.when, 1), c), party.handler());
    sluice::go(program.io(), produce(b, w.values / 2, pauses(w.when, 2), c), party.handler());
    sluice::go(program.io(), consume(a, b, c), party.handler());
    static_cast<void>(program.run());
    if (c.received != c.sent || c.sent != w.values / 2 * 2)
      throw measure::wrong("lossy_asio: Sluice has lost a value");
  }

  static void send_or_receive(const workload& w, counts& out_counts, counts& in_counts) {
    measure::program program(w.threads);
    parties party(program, 3);
    sluice_channel out = sluice::make_channel<std::uint64_t>(program.io());
    sluice_channel in = sluice::make_channel<std::uint64_t>(program.io());
    offers all(w.values);
    sluice::go(program.io(), feed(in, pauses(w.when, 3), in_counts), party.handler());
    sluice::go(program.io(), collect(out, pauses(w.when, 4), all), party.handler());
    sluice::go(program.io(), exchange(out, in, w.values, all, in_counts), party.handler());
    static_cast<void>(program.run());
    all.count(out_counts);
    if (out_counts.received != out_counts.sent || out_counts.sent_all_the_same != 0 ||
        in_counts.received != in_counts.sent)
      throw measure::wrong("lossy_asio: Sluice has lost a value, or sent one all the same");
  }
};

// --- printing ------------------------------------------------------------------------------------

double percent(std::size_t part, std::size_t whole) {
  return whole == 0 ? 0 : 100.0 * static_cast<double>(part) / static_cast<double>(whole);
}

template <class Contender>
void print_receive(const workload& w) {
  counts c;
  Contender::receive(w, c);
  const std::size_t lost = c.sent - c.received;
  std::printf("  %-42s %9zu %9zu %6.2f %%\n", Contender::name, c.sent.load(), lost,
              percent(lost, c.sent));
}

template <class Contender>
void print_send_or_receive(const workload& w) {
  counts out;
  counts in;
  Contender::send_or_receive(w, out, in);
  const std::size_t lost = in.sent - in.received + out.sent - out.received;
  std::printf("  %-42s %9zu %9zu %6.2f %% %9zu %9zu %6.2f %%\n", Contender::name,
              in.sent + out.sent, lost, percent(lost, in.sent + out.sent), out.withheld.load(),
              out.sent_all_the_same.load(), percent(out.sent_all_the_same, out.withheld));
}

void print(const workload& w, const char* when) {
  std::printf("receive from one of two channels, %s\n  %-42s %9s %9s\n", when, "", "sent", "lost");
  print_receive<on_asio<with_operator>>(w);
  print_receive<on_asio<with_group>>(w);
  print_receive<on_sluice>(w);
  std::printf("send to one channel or receive from another, %s\n  %-42s %9s %9s %8s %9s %9s\n",
              when, "", "sent", "lost", "", "not sent", "but came");
  print_send_or_receive<on_asio<with_operator>>(w);
  print_send_or_receive<on_asio<with_group>>(w);
  print_send_or_receive<on_sluice>(w);
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t values = measure::argument(argc, argv, 1, 100'000);
  const std::size_t threads = measure::argument(argc, argv, 2, 1);
  return measure::main([&] {
    std::printf("Boost %d.%d, threads: %zu\n", BOOST_VERSION / 100000, BOOST_VERSION / 100 % 1000,
                threads);
    print({values, threads, traffic::always}, "always ready");
    print({values / 10, threads, traffic::now_and_then}, "ready now and then");
  });
}
