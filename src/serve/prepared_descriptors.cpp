// SPDX-License-Identifier: BSL-1.0
// A file that cannot be polled, with which the reactor is made to allocate beforehand what it
// needs for each descriptor.

#include <sluice/detail/serve/prepared_descriptors.hpp>

#if defined(BOOST_ASIO_HAS_POSIX_STREAM_DESCRIPTOR)
#include <sys/mman.h>
#include <unistd.h>
#endif

namespace sluice::detail {

#if defined(BOOST_ASIO_HAS_POSIX_STREAM_DESCRIPTOR)

namespace {

int open_unpollable() noexcept {
#if defined(MFD_CLOEXEC)
  return ::memfd_create("sluice", MFD_CLOEXEC);
#else
  return -1;
#endif
}

}  // namespace

unpollable_file::unpollable_file() noexcept : descriptor_(open_unpollable()) {}

unpollable_file::~unpollable_file() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

#endif

}  // namespace sluice::detail
