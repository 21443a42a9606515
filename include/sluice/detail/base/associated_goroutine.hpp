// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <boost/asio/associator.hpp>

namespace sluice::detail {

namespace asio = boost::asio;

class goroutine;

/// The goroutine that a handler resumes, also through the adapters of completion tokens; null for
/// other handlers.
/** An associator as Asio's own, so that adapters pass it on. */
template <class Handler, class Default = goroutine*>
struct associated_goroutine {
  using type = goroutine*;

  static type get(const Handler& handler, const Default& fallback = nullptr) noexcept {
    if constexpr (requires { handler.waiting_goroutine(); })
      return handler.waiting_goroutine();
    else if constexpr (requires {
                         asio::associator<detail::associated_goroutine, Handler, Default>::get(
                             handler, fallback);
                       })
      return asio::associator<detail::associated_goroutine, Handler, Default>::get(handler,
                                                                                   fallback);
    else
      return fallback;
  }
};

template <class Handler>
[[nodiscard]] goroutine* get_associated_goroutine(const Handler& handler) noexcept {
  return associated_goroutine<Handler>::get(handler);
}

}  // namespace sluice::detail
