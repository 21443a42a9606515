// SPDX-License-Identifier: BSL-1.0
// An end of a connection in memory: it reads from one pipe and writes into another.

#include <sluice/testing/stream.hpp>

#include <sluice/detail/base/exceptions.hpp>

#include <boost/asio/error.hpp>

namespace sluice::testing {

stream& stream::operator=(stream&& other) noexcept {
  if (this == &other) return *this;
  close();
  executor_ = other.executor_;
  in_ = std::move(other.in_);
  out_ = std::move(other.out_);
  return *this;
}

stream::~stream() {
  close();
}

std::size_t stream::available(error_code& e) const noexcept {
  e = in_ ? error_code() : asio::error::bad_descriptor;
  return in_ ? in_->available() : 0;
}

void stream::shutdown(shutdown_type what, error_code& e) noexcept {
  e = in_ ? error_code() : asio::error::bad_descriptor;
  if (e) return;
  if (what != shutdown_receive) out_->end_writing();
  if (what != shutdown_send) in_->end_reading();
}

void stream::shutdown(shutdown_type what) {
  error_code e;
  shutdown(what, e);
  if (e) detail::throw_exception(system_error(e, "sluice: shutdown"));
}

sluice::detail::peer stream::look_at_peer() const noexcept {
  return in_ ? in_->look_at_writer() : sluice::detail::peer::gone;
}

void stream::close() noexcept {
  if (!is_open()) return;
  cancel();
  out_->end_writing();
  in_->end_reading();
  in_ = nullptr;
  out_ = nullptr;
}

void stream::reset() noexcept {
  if (!is_open()) return;
  in_->break_off();
}

void stream::cancel() noexcept {
  if (!is_open()) return;
  in_->cancel_read();
  out_->cancel_write();
}

}  // namespace sluice::testing
