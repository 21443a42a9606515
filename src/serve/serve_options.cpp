// SPDX-License-Identifier: BSL-1.0
// How many connections a server has room for, by the process's limit of descriptors.

#include <sluice/serve_options.hpp>

#if __has_include(<sys/resource.h>)
#include <sys/resource.h>
#endif

#include <algorithm>

namespace sluice {

std::size_t connections_by_descriptors([[maybe_unused]] std::size_t descriptors) noexcept {
#if __has_include(<sys/resource.h>)
  ::rlimit limit;
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return 0;
  const std::size_t all = limit.rlim_cur;
  const std::size_t others = std::max<std::size_t>(16, all / 16);
  const std::size_t left = all > others ? all - others : 0;
  return std::max<std::size_t>(1, left / std::max<std::size_t>(1, descriptors));
#else
  return 0;
#endif
}

}  // namespace sluice
