// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/decl.hpp>
#include <sluice/error.hpp>

#include <boost/asio/posix/basic_stream_descriptor.hpp>

#include <cstddef>
#include <optional>
#include <vector>

namespace sluice::detail {

namespace asio = boost::asio;

#if defined(BOOST_ASIO_HAS_POSIX_STREAM_DESCRIPTOR)

/// A file that cannot be polled, and so can be registered with a reactor any number of times.
class unpollable_file {
 public:
  SLUICE_DECL unpollable_file() noexcept;
  unpollable_file(const unpollable_file&) = delete;
  unpollable_file& operator=(const unpollable_file&) = delete;
  SLUICE_DECL ~unpollable_file();
  /// Negative if there is none.
  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }

 private:
  const int descriptor_;
};

/// Makes the reactor allocate what it needs for `n` descriptors, in one piece.
/**
 * It makes such a small object whenever there are more descriptors than ever, and keeps it for
 * ever: each, between what the connections have allocated, would keep a page or two of that.
 */
template <class Executor>
void prepare_descriptors(const Executor& ex, std::size_t n) {
  struct registration {
    explicit registration(const Executor& e) : object(e) {}
    registration(const registration&) = delete;
    registration& operator=(const registration&) = delete;
    ~registration() {
      if (object.is_open()) object.release();
    }
    asio::posix::basic_stream_descriptor<Executor> object;
  };
  const unpollable_file file;
  if (file.descriptor() < 0) return;
  std::vector<std::optional<registration>> all(n);
  error_code failed;
  for (auto& r : all)
    if (!failed) r.emplace(ex).object.assign(file.descriptor(), failed);
}

#else

template <class Executor>
void prepare_descriptors(const Executor&, std::size_t) {}

#endif

}  // namespace sluice::detail
