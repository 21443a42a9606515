#pragma once

#include "support.hpp"

#include <boost/test/unit_test.hpp>

#include <exception>
#include <future>
#include <memory>
#include <utility>

namespace sluice_test {

/// A handler without an executor that says what error it was told, and the future of that.
class elsewhere {
 public:
  /// For every signature: an error first, of either kind.
  class handler {
   public:
    explicit handler(std::shared_ptr<std::promise<error_code>> told) : told_(std::move(told)) {}

    template <class... Values>
    void operator()(error_code e, Values&&...) {
      told_->set_value(e);
    }
    template <class... Values>
    void operator()(std::exception_ptr failure, Values&&...) {
      error_code e;
      try {
        if (failure) std::rethrow_exception(failure);
      } catch (const sluice::system_error& x) {
        e = x.code();
      }
      told_->set_value(e);
    }

   private:
    std::shared_ptr<std::promise<error_code>> told_;
  };

  [[nodiscard]] handler get_handler() const { return handler(told_); }
  /// Waits until it has been called.
  [[nodiscard]] error_code get() const { return told_->get_future().get(); }

 private:
  const std::shared_ptr<std::promise<error_code>> told_ =
      std::make_shared<std::promise<error_code>>();
};

/// What `start(handler)` tells a handler that has no executor. It does not throw.
template <class Start>
error_code told_without_executor(Start start) {
  const elsewhere there;
  BOOST_CHECK_NO_THROW(start(there.get_handler()));
  return there.get();
}

}  // namespace sluice_test
