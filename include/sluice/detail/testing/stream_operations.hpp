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
#include <boost/asio/socket_base.hpp>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

// Reading and writing of a stream in memory, as the implementations of `asio::async_compose`.

namespace sluice::detail {

/// What they have in common: they look, and wait until it is worth to look again.
template <class Derived>
class stream_operation {
 public:
  explicit stream_operation(std::shared_ptr<simulated_pipe> pipe) noexcept
      : pipe_(std::move(pipe)) {}

  /// Called by `asio::async_compose`: at first, and whenever a wait has ended.
  template <class Self>
  void operator()(Self& self, error_code e = {}, std::optional<bool> = {}) {
    auto& derived = static_cast<Derived&>(*this);
    if (!std::exchange(begun_, true)) {
      if (pipe_) cancelled_before_ = derived.cancelled(*pipe_);
      self.reset_cancellation_state(asio::enable_total_cancellation());
      return asio::post(std::move(self));
    }
    if (e == asio::error::timed_out) e = {};
    if (!e && !pipe_) e = asio::error::bad_descriptor;
    if (!e && (self.cancelled() != asio::cancellation_type::none ||
               derived.cancelled(*pipe_) != cancelled_before_))
      e = asio::error::operation_aborted;
    if (!e && !derived.is_possible(*pipe_)) return derived.wait(*pipe_, self);
    // Another may wait at this end, who was not told.
    if (pipe_) derived.tell_next(*pipe_);
    derived.finish(self, e);
  }

 protected:
  /// Waits until something can be read, or has arrived.
  template <class Self>
  static void wait_to_read(const simulated_pipe& pipe, Self& self) {
    const auto& readable = pipe.readable();
    const auto at = pipe.can_read().at;
    if (at == simulated_pipe::time_point::max())
      readable.receive()(std::move(self));
    else
      timeout(readable.receive(), at - sluice::now())(std::move(self));
  }
  template <class Self>
  static void wait_to_write(const simulated_pipe& pipe, Self& self) {
    pipe.writable().receive()(std::move(self));
  }

  std::shared_ptr<simulated_pipe> pipe_;

 private:
  bool begun_ = false;
  std::size_t cancelled_before_ = 0;
};

/// One that transfers bytes.
template <class Derived, class Buffers>
class transfer_operation : public stream_operation<Derived> {
 public:
  transfer_operation(std::shared_ptr<simulated_pipe> pipe, const Buffers& buffers)
      : stream_operation<Derived>(std::move(pipe)), buffers_(buffers) {}

  /// Does what is possible without a wait.
  [[nodiscard]] std::size_t try_now(error_code& e) {
    auto& derived = static_cast<Derived&>(*this);
    e = {};
    if (!this->pipe_)
      e = asio::error::bad_descriptor;
    else if (!derived.is_possible(*this->pipe_))
      e = asio::error::would_block;
    return e ? 0 : derived.transfer(e);
  }

  [[nodiscard]] bool is_possible(const simulated_pipe& pipe) const {
    return asio::buffer_size(buffers_) == 0 || Derived::pipe_can(pipe);
  }
  template <class Self>
  void finish(Self& self, error_code e) {
    const std::size_t n = e ? 0 : static_cast<Derived&>(*this).transfer(e);
    self.complete(e, n);
  }

 protected:
  /// For as many bytes as one operation transfers at most.
  [[nodiscard]] std::vector<std::byte> make_space() const {
    return std::vector<std::byte>(std::min<std::size_t>(asio::buffer_size(buffers_), 65536));
  }

  Buffers buffers_;
};

template <class MutableBuffers>
class read_operation : public transfer_operation<read_operation<MutableBuffers>, MutableBuffers> {
 public:
  using transfer_operation<read_operation, MutableBuffers>::transfer_operation;

  [[nodiscard]] std::size_t transfer(error_code& e) {
    auto bytes = this->make_space();
    std::size_t n = 0;
    if (!bytes.empty()) e = this->pipe_->read(bytes, n);
    asio::buffer_copy(this->buffers_, asio::buffer(bytes.data(), n));
    return n;
  }
  template <class Self>
  static void wait(const simulated_pipe& pipe, Self& self) {
    read_operation::wait_to_read(pipe, self);
  }
  [[nodiscard]] static bool pipe_can(const simulated_pipe& pipe) noexcept {
    return pipe.can_read().now;
  }
  [[nodiscard]] static std::size_t cancelled(const simulated_pipe& pipe) noexcept {
    return pipe.reads_cancelled();
  }
  static void tell_next(simulated_pipe& pipe) noexcept { pipe.tell_next_reader(); }
};

template <class ConstBuffers>
class write_operation : public transfer_operation<write_operation<ConstBuffers>, ConstBuffers> {
 public:
  using transfer_operation<write_operation, ConstBuffers>::transfer_operation;

  [[nodiscard]] std::size_t transfer(error_code& e) {
    auto bytes = this->make_space();
    asio::buffer_copy(asio::buffer(bytes), this->buffers_);
    std::size_t n = 0;
    if (!bytes.empty()) e = this->pipe_->write(bytes, n);
    return n;
  }
  template <class Self>
  static void wait(const simulated_pipe& pipe, Self& self) {
    write_operation::wait_to_write(pipe, self);
  }
  [[nodiscard]] static bool pipe_can(const simulated_pipe& pipe) noexcept {
    return pipe.can_write();
  }
  [[nodiscard]] static std::size_t cancelled(const simulated_pipe& pipe) noexcept {
    return pipe.writes_cancelled();
  }
  static void tell_next(simulated_pipe& pipe) noexcept { pipe.tell_next_writer(); }
};

/// Transfers nothing: it waits until that would be possible.
class wait_operation : public stream_operation<wait_operation> {
 public:
  wait_operation(std::shared_ptr<simulated_pipe> pipe, asio::socket_base::wait_type what) noexcept
      : stream_operation(std::move(pipe)), what_(what) {}

  [[nodiscard]] bool is_possible(const simulated_pipe& pipe) const noexcept {
    switch (what_) {
      case asio::socket_base::wait_read:
        return pipe.can_read().now;
      case asio::socket_base::wait_write:
        return pipe.can_write();
      default:
        return pipe.broken();
    }
  }
  template <class Self>
  void wait(const simulated_pipe& pipe, Self& self) const {
    switch (what_) {
      case asio::socket_base::wait_read:
        return wait_to_read(pipe, self);
      case asio::socket_base::wait_write:
        return wait_to_write(pipe, self);
      default:
        return pipe.when_broken().receive()(std::move(self));
    }
  }
  template <class Self>
  static void finish(Self& self, error_code e) {
    self.complete(e);
  }
  [[nodiscard]] std::size_t cancelled(const simulated_pipe& pipe) const noexcept {
    return what_ == asio::socket_base::wait_write ? pipe.writes_cancelled()
                                                  : pipe.reads_cancelled();
  }
  void tell_next(simulated_pipe& pipe) const noexcept {
    switch (what_) {
      case asio::socket_base::wait_read:
        return pipe.tell_next_reader();
      case asio::socket_base::wait_write:
        return pipe.tell_next_writer();
      default:
        return pipe.tell_next_watcher();
    }
  }

 private:
  asio::socket_base::wait_type what_;
};

}  // namespace sluice::detail
