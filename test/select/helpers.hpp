#pragma once

#include <sluice/channel.hpp>
#include <sluice/go.hpp>
#include <sluice/select.hpp>

#include "../support.hpp"
#include "../sync_helpers.hpp"
#include "../time_helpers.hpp"

#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/io_context.hpp>

#include <chrono>
#include <cstddef>
#include <memory>
#include <utility>
#include <vector>

// What the tests of select share.
namespace sluice_test {

/// A buffered channel with one place more than it holds values.
inline sluice::channel<int> holding(const std::vector<int>& values) {
  auto ch = sluice::make_channel<int>(values.size() + 1);
  for (const int v : values) ch.try_send(v);
  return ch;
}

/// Whether a goroutine that does `body()` and that nobody helps never ends.
template <class Body>
bool blocks(Body body) {
  asio::io_context io;
  bool ended = false;
  sluice::go(io, [&]() -> task<> {
    co_await body();
    ended = true;
  });
  poll(io);
  return !ended;
}

/// Whether an operation that was tried went well.
template <class T, class U>
bool try_send(const T& ch, U&& value) {
  error_code e;
  return ch.try_send(std::forward<U>(value), e);
}

/// Two contexts, so that a goroutine of each runs on a thread of its own.
class two_contexts {
 public:
  asio::io_context first, second;

  void run() {
    const watchdog dog;
    on_threads(2, [&](int i) { (i == 0 ? first : second).run(); });
  }
};

/// An Asio operation that completes when the test says so, with an error and a number, or with
/// `operation_aborted` at a cancellation of certain types.
class controlled_operation {
 public:
  explicit controlled_operation(asio::cancellation_type reacts_to = asio::cancellation_type::none)
      : reacts_to_(reacts_to) {}
  controlled_operation(const controlled_operation&) = delete;
  controlled_operation& operator=(const controlled_operation&) = delete;

  template <class Token>
  auto async_wait(Token&& token) {
    return asio::async_initiate<Token, void(error_code, int)>(
        [this](auto handler) { this->launch(std::move(handler)); }, token);
  }

  /// Calls the handler on its executor: at once, if this is called there.
  void complete(error_code e, int value) {
    if (const auto pending = std::exchange(pending_, nullptr)) pending->complete(e, value);
  }
  /// Destroys the handler without calling it.
  void drop() { pending_.reset(); }

  [[nodiscard]] bool is_pending() const { return pending_ != nullptr; }
  /// Whether a cancellation of this type has come.
  [[nodiscard]] bool was_cancelled(asio::cancellation_type type) const {
    return (cancellations_ & type) == type;
  }

  /// How often it has been launched.
  int launches = 0;

 private:
  struct handler_base {
    virtual ~handler_base() = default;
    virtual void complete(error_code e, int value) = 0;
  };
  template <class Handler>
  struct holder final : handler_base {
    explicit holder(Handler&& h) : handler(std::move(h)) {}
    void complete(error_code e, int value) override {
      const auto ex = asio::get_associated_executor(handler);
      asio::dispatch(ex, [h = std::move(handler), e, value]() mutable { std::move(h)(e, value); });
    }
    Handler handler;
  };

  template <class Handler>
  void launch(Handler&& handler) {
    ++launches;
    auto slot = asio::get_associated_cancellation_slot(handler);
    if (slot.is_connected())
      slot.assign([this](asio::cancellation_type type) {
        cancellations_ = cancellations_ | type;
        if ((type & reacts_to_) != asio::cancellation_type::none) complete(aborted, -1);
      });
    pending_ = std::make_unique<holder<Handler>>(std::move(handler));
  }

  const asio::cancellation_type reacts_to_;
  asio::cancellation_type cancellations_ = asio::cancellation_type::none;
  std::unique_ptr<handler_base> pending_;
};

}  // namespace sluice_test
