// Elements whose destructors use channels and signals: none runs under a lock of the library's.
#include "../support.hpp"

#include <sluice/channel.hpp>
#include <sluice/detail/base/boxed.hpp>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/test/unit_test.hpp>

#include <any>
#include <functional>
#include <memory>
#include <string>
#include <utility>

namespace {

using namespace sluice_test;

/// A class with a destructor and no move: what is left in a buffer is a whole object.
class noisy {
 public:
  explicit noisy(channel<noisy>* log) noexcept : log_(log) {}
  noisy(const noisy& other) noexcept : log_(other.log_) {}
  noisy& operator=(const noisy&) = delete;
  ~noisy() {
    error_code e;
    if (log_) log_->try_send(noisy(nullptr), e);
  }

 private:
  channel<noisy>* log_;
};

static_assert(std::is_nothrow_move_constructible_v<noisy>);
static_assert(sluice::detail::travels_in_box<noisy>);
static_assert(!sluice::detail::travels_in_box<int>);
static_assert(!sluice::detail::travels_in_box<std::string>);
static_assert(!sluice::detail::travels_in_box<std::unique_ptr<int>>);
static_assert(!sluice::detail::travels_in_box<std::shared_ptr<int>>);
static_assert(!sluice::detail::travels_in_box<std::function<void()>>);
static_assert(!sluice::detail::travels_in_box<counted>);

}  // namespace

BOOST_AUTO_TEST_SUITE(a_destructor_of_an_element)

BOOST_AUTO_TEST_CASE(may_use_its_channel_when_a_copy_of_it_is_received) {
  const watchdog dog;
  auto log = make_channel<noisy>(100);
  {
    auto ch = make_channel<noisy>(4);
    ch.try_send(noisy(&log));
    error_code e;
    static_cast<void>(ch.try_receive(e));
    log.try_send(noisy(&log));
    static_cast<void>(log.try_receive(e));
  }
  BOOST_TEST(log.size() != 0u);
}

BOOST_AUTO_TEST_CASE(may_use_its_channel_when_a_goroutine_receives_it) {
  const watchdog dog;
  asio::io_context io;
  auto ch = make_channel<noisy>(100);
  auto unbuffered = make_channel<noisy>();
  sluice::go(io, [&]() -> task<> { co_await unbuffered.send(noisy(&ch)); });
  sluice::go(io, [&]() -> task<> { static_cast<void>(co_await unbuffered.receive()); });
  sluice::go(io, [&]() -> task<> {
    co_await ch.send(noisy(&ch));
    static_cast<void>(co_await ch.receive());
  });
  io.run();
  BOOST_TEST(ch.size() != 0u);
}

// The end of the channel, which the cancellation brings about, destroys what is buffered.
BOOST_AUTO_TEST_CASE(may_cancel_what_ends_its_channel) {
  const watchdog dog;
  struct emitter {
    explicit emitter(asio::cancellation_signal* s) noexcept : signal(s) {}
    emitter(emitter&& other) noexcept : signal(std::exchange(other.signal, nullptr)) {}
    ~emitter() {
      if (signal) signal->emit(asio::cancellation_type::terminal);
    }
    asio::cancellation_signal* signal;
  };
  asio::io_context io;
  asio::cancellation_signal signal;
  error_code ended;
  auto ch = std::make_unique<channel<emitter>>(make_channel<emitter>(1));
  ch->try_send(emitter(&signal));
  const auto body = [&]() -> task<> { ended = co_await error_of(ch->send(emitter(nullptr))); };
  sluice::go(io, body,
             asio::bind_cancellation_slot(signal.slot(), [](const std::exception_ptr&) {}));
  poll(io);
  ch.reset();
  signal.emit(asio::cancellation_type::terminal);
  poll(io);
  BOOST_TEST(ended == aborted);
}

BOOST_AUTO_TEST_SUITE_END()
