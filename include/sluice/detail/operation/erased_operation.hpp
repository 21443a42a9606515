// SPDX-License-Identifier: BSL-1.0
// Asio operations whose own type is not named: Asio's older idiom declares what an initiating
// function returns by the token and the signature alone, before there is an operation.
#pragma once

#include <sluice/detail/base/associated_goroutine.hpp>
#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/executor/lasting_dispatcher.hpp>
#include <sluice/detail/operation/asio_operation.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_allocator.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/system_executor.hpp>

#include <memory>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>

namespace sluice::detail {

/// An executor as Asio's own erased one, which has to hold it; the system executor for others.
template <class Executor>
[[nodiscard]] asio::any_io_executor erased_executor(const Executor& ex) {
  if constexpr (std::is_convertible_v<const Executor&, asio::any_io_executor>)
    return ex;
  else
    return asio::system_executor();
}

/// A completion handler of one signature, with its executor, its slot and its goroutine.
/** Its memory comes from the handler's allocator, and has been given back when the handler is
 * called. */
template <class... Args>
class erased_handler {
 public:
  using cancellation_slot_type = asio::cancellation_slot;

  template <class Handler>
  explicit erased_handler(std::in_place_t, Handler&& handler)
      : held_(held_as<std::decay_t<Handler>>::make(std::forward<Handler>(handler))) {}

  [[nodiscard]] asio::any_io_executor executor_or(const asio::any_io_executor& fallback) const {
    return held_->executor_or(fallback);
  }
  [[nodiscard]] cancellation_slot_type get_cancellation_slot() const noexcept {
    return held_->slot();
  }
  [[nodiscard]] goroutine* waiting_goroutine() const noexcept { return held_->waiting_goroutine(); }

  void operator()(Args... args) { held_.release()->call(std::forward<Args>(args)...); }

 private:
  struct held {
    virtual asio::any_io_executor executor_or(const asio::any_io_executor& fallback) const = 0;
    virtual asio::cancellation_slot slot() const noexcept = 0;
    virtual goroutine* waiting_goroutine() const noexcept = 0;
    /// Ends it.
    virtual void call(Args... args) = 0;
    virtual void end() noexcept = 0;

   protected:
    ~held() = default;
  };
  struct end_held {
    void operator()(held* h) const noexcept { h->end(); }
  };

  template <class Handler>
  class held_as final : public held {
    using traits = typename std::allocator_traits<
        asio::associated_allocator_t<Handler>>::template rebind_traits<held_as>;
    using allocator = typename traits::allocator_type;

   public:
    template <class H>
    explicit held_as(H&& handler) : handler_(std::forward<H>(handler)) {}

    template <class H>
    [[nodiscard]] static held* make(H&& handler) {
      allocator from(asio::get_associated_allocator(handler));
      auto* const memory = traits::allocate(from, 1);
      SLUICE_TRY {
        return ::new (static_cast<void*>(memory)) held_as(std::forward<H>(handler));
      }
      SLUICE_CATCH_ALL {
        traits::deallocate(from, memory, 1);
        detail::rethrow();
      }
    }

   private:
    asio::any_io_executor executor_or(const asio::any_io_executor& fallback) const override {
      return detail::erased_executor(asio::get_associated_executor(handler_, fallback));
    }
    asio::cancellation_slot slot() const noexcept override {
      return asio::get_associated_cancellation_slot(handler_);
    }
    goroutine* waiting_goroutine() const noexcept override {
      return detail::get_associated_goroutine(handler_);
    }
    void call(Args... args) override {
      Handler handler(std::move(handler_));
      end();
      std::move(handler)(std::forward<Args>(args)...);
    }
    void end() noexcept override {
      allocator to(asio::get_associated_allocator(handler_));
      this->~held_as();
      traits::deallocate(to, this, 1);
    }

    Handler handler_;
  };

  std::unique_ptr<held, end_held> held_;
};

/// What starts an operation of one signature, with its arguments and its executor.
template <class... Args>
class erased_initiation {
 public:
  using executor_type = asio::any_io_executor;

  template <class Initiation, class... InitArgs>
  explicit erased_initiation(std::tuple<Initiation, InitArgs...>&& all)
      : held_(std::make_unique<held_as<Initiation, InitArgs...>>(std::move(all))) {}

  [[nodiscard]] pinned_dispatcher handler_dispatcher() const { return held_->handler_dispatcher(); }
  [[nodiscard]] executor_type get_executor() const { return held_->get_executor(); }

  template <class Handler>
  void operator()(Handler&& handler) {
    const auto started = std::move(held_);
    started->start(erased_handler<Args...>(std::in_place, std::forward<Handler>(handler)));
  }

 private:
  struct held {
    virtual ~held() = default;
    virtual pinned_dispatcher handler_dispatcher() const = 0;
    virtual asio::any_io_executor get_executor() const = 0;
    virtual void start(erased_handler<Args...> handler) = 0;
  };

  template <class Initiation, class... InitArgs>
  class held_as final : public held {
   public:
    explicit held_as(std::tuple<Initiation, InitArgs...>&& all) : all_(std::move(all)) {}

   private:
    pinned_dispatcher handler_dispatcher() const override {
      return detail::dispatcher_of_initiation(std::get<0>(all_));
    }
    asio::any_io_executor get_executor() const override {
      if constexpr (requires { std::get<0>(all_).get_executor(); })
        return detail::erased_executor(std::get<0>(all_).get_executor());
      else
        return asio::system_executor();
    }
    void start(erased_handler<Args...> handler) override {
      std::apply(
          [&handler](auto&& initiation, auto&&... args) {
            std::move(initiation)(std::move(handler), std::move(args)...);
          },
          std::move(all_));
    }

    std::tuple<Initiation, InitArgs...> all_;
  };

  std::unique_ptr<held> held_;
};

/// An Asio operation of a signature, whatever it does.
template <class... Args>
using erased_operation = asio_operation<void(Args...), erased_initiation<Args...>>;

}  // namespace sluice::detail

/// The handler's own, or that of the operation.
template <class... Args, class Executor>
struct boost::asio::associated_executor<sluice::detail::erased_handler<Args...>, Executor> {
  using type = boost::asio::any_io_executor;

  static type get(const sluice::detail::erased_handler<Args...>& handler,
                  const Executor& fallback = Executor()) noexcept {
    return handler.executor_or(sluice::detail::erased_executor(fallback));
  }
};
