// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/testing/simulated_pipe.hpp>
#include <sluice/error.hpp>
#include <sluice/sleep.hpp>
#include <sluice/timeout.hpp>

#include <boost/asio/buffer.hpp>
#include <boost/asio/cancellation_state.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

// Reading and writing of a stream in memory, as the implementations of `asio::async_compose`.

namespace sluice::detail {

/// What both have in common: they look, and wait until it is worth to look again.
template <class Derived>
class stream_operation {
 public:
  explicit stream_operation(std::shared_ptr<simulated_pipe> pipe) noexcept
      : pipe_(std::move(pipe)) {}

  /// Called by `asio::async_compose`: at first, and whenever a wait has ended.
  template <class Self>
  void operator()(Self& self, error_code e = {}, std::optional<bool> = {}) {
    if (!std::exchange(begun_, true)) {
      if (pipe_) cancelled_before_ = Derived::cancelled(*pipe_);
      self.reset_cancellation_state(asio::enable_total_cancellation());
      return asio::post(std::move(self));
    }
    if (e == asio::error::timed_out) e = {};
    if (!e && !pipe_) e = asio::error::bad_descriptor;
    if (!e && (self.cancelled() != asio::cancellation_type::none ||
               Derived::cancelled(*pipe_) != cancelled_before_))
      e = asio::error::operation_aborted;
    if (e) return self.complete(e, 0);
    static_cast<Derived&>(*this).look(self);
  }

 protected:
  std::shared_ptr<simulated_pipe> pipe_;

 private:
  bool begun_ = false;
  std::size_t cancelled_before_ = 0;
};

template <class MutableBuffers>
class read_operation : public stream_operation<read_operation<MutableBuffers>> {
 public:
  read_operation(std::shared_ptr<simulated_pipe> from, const MutableBuffers& to)
      : stream_operation<read_operation>(std::move(from)), to_(to) {}

  template <class Self>
  void look(Self& self) {
    const auto room = asio::buffer_size(to_);
    if (room == 0) return self.complete({}, 0);
    const auto can = this->pipe_->can_read();
    if (can.now) {
      std::vector<std::byte> bytes(std::min<std::size_t>(room, 65536));
      std::size_t n = 0;
      const error_code e = this->pipe_->read(bytes, n);
      asio::buffer_copy(to_, asio::buffer(bytes.data(), n));
      return self.complete(e, n);
    }
    const auto readable = this->pipe_->readable();
    if (can.at == simulated_pipe::time_point::max())
      readable.receive()(std::move(self));
    else
      timeout(readable.receive(), can.at - sluice::now())(std::move(self));
  }

  [[nodiscard]] static std::size_t cancelled(const simulated_pipe& pipe) noexcept {
    return pipe.reads_cancelled();
  }

 private:
  MutableBuffers to_;
};

template <class ConstBuffers>
class write_operation : public stream_operation<write_operation<ConstBuffers>> {
 public:
  write_operation(std::shared_ptr<simulated_pipe> to, const ConstBuffers& from)
      : stream_operation<write_operation>(std::move(to)), from_(from) {}

  template <class Self>
  void look(Self& self) {
    const auto size = asio::buffer_size(from_);
    if (size == 0) return self.complete({}, 0);
    if (this->pipe_->can_write()) {
      std::vector<std::byte> bytes(std::min<std::size_t>(size, 65536));
      asio::buffer_copy(asio::buffer(bytes), from_);
      std::size_t n = 0;
      const error_code e = this->pipe_->write(bytes, n);
      return self.complete(e, n);
    }
    const auto writable = this->pipe_->writable();
    writable.receive()(std::move(self));
  }

  [[nodiscard]] static std::size_t cancelled(const simulated_pipe& pipe) noexcept {
    return pipe.writes_cancelled();
  }

 private:
  ConstBuffers from_;
};

}  // namespace sluice::detail
