// SPDX-License-Identifier: BSL-1.0
// Completion arguments on their way to a handler. Once they are in here nothing that happens to
// them throws, so the handler is called in any case.
#pragma once

#include <sluice/detail/base/exceptions.hpp>
#include <sluice/error.hpp>

#include <boost/asio/error.hpp>

#include <exception>
#include <memory>
#include <new>
#include <tuple>
#include <type_traits>
#include <utility>

namespace sluice::detail {

/// What a handler whose first argument is a `Failure` is told of the exception being handled.
template <class Failure>
[[nodiscard]] Failure failure_to_move() noexcept {
  if constexpr (std::is_same_v<Failure, std::exception_ptr>)
    return std::current_exception();
  else
    return error::move_failed;
}

/// A failure and values on their way to a handler, which is called whatever moving them throws.
/**
 * Moving this throws nothing, so an executor may move it as often as it likes. A value that cannot
 * be moved in is replaced by a default one, and the failure says so.
 */
template <class Failure, class... Values>
class handler_arguments {
  using tuple = std::tuple<Failure, Values...>;
  static constexpr bool in_place = (std::is_nothrow_move_constructible_v<Values> && ...);

 public:
  template <class... V>
  explicit handler_arguments(std::in_place_t, const Failure& failure, V&&... values)
      : kept_(keep(failure, std::forward<V>(values)...)) {}

  [[nodiscard]] tuple&& get() && noexcept {
    if constexpr (in_place)
      return std::move(kept_);
    else
      return std::move(*kept_);
  }

 private:
  using kept = std::conditional_t<in_place, tuple, std::unique_ptr<tuple>>;

  template <class... V>
  static kept keep(const Failure& failure, V&&... values) {
    if constexpr (in_place) {
      return kept(failure, std::forward<V>(values)...);
    } else {
      SLUICE_TRY {
        return std::make_unique<tuple>(failure, std::forward<V>(values)...);
      }
      SLUICE_CATCH_ALL {
        return std::make_unique<tuple>(detail::failure_to_move<Failure>(), Values()...);
      }
    }
  }

  kept kept_;
};

}  // namespace sluice::detail
