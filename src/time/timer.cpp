// SPDX-License-Identifier: BSL-1.0
// What the public functions of timers do; a timer's state does the rest.

#include <sluice/timer.hpp>

#include <sluice/detail/base/exceptions.hpp>

#include <stdexcept>

namespace sluice {

namespace detail {

receiver<clock::time_point> after(const dispatcher_ptr& where, clock::duration d) {
  return channel_timer::make(where, d, clock::duration::zero());
}

}  // namespace detail

clock::duration ticker::checked(clock::duration period) {
  if (period <= clock::duration::zero())
    detail::throw_exception(std::invalid_argument("sluice::ticker: the period must be positive"));
  return period;
}

}  // namespace sluice
