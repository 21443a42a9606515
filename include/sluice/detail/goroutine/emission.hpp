// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/scheduler/ready_list.hpp>

#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/cancellation_type.hpp>

#include <atomic>
#include <memory>

namespace sluice::detail {

namespace asio = boost::asio;

/// The signal that cancels one launched Asio operation, used on the goroutine's strand only.
/**
 * Shared, because a request for cancellation may be on its way when the operation completes.
 * Requests collect in one word; who finds it empty queues the node, which needs no memory, and the
 * node's turn takes its reference and then empties the word: whoever finds that empty again finds
 * the node free.
 */
class emission : ready_node {
 public:
  emission() noexcept : ready_node(&emit_requested) {}

  emission(const emission&) = delete;
  emission& operator=(const emission&) = delete;

  /// In recycled memory. @throws std::bad_alloc
  [[nodiscard]] SLUICE_DECL static std::shared_ptr<emission> make();

  [[nodiscard]] asio::cancellation_slot slot() noexcept { return signal_.slot(); }

  /// Notes a request, and adds the node to what is to run on the strand if it is not queued yet.
  SLUICE_DECL static void request(const std::shared_ptr<emission>& self,
                                  asio::cancellation_type type, ready_list& steps) noexcept;

  /// The operation has completed: requests that come now do nothing. On the strand.
  void complete() noexcept {
    end();
    signal_.slot().clear();
  }
  /// The same from anywhere. What is in the slot may be running on the strand, and stays until the
  /// last reference has gone.
  void end() noexcept { completed_.store(true, std::memory_order_relaxed); }
  [[nodiscard]] bool is_complete() const noexcept {
    return completed_.load(std::memory_order_relaxed);
  }

 protected:
  ~emission() = default;

  /// For another operation, if no request for the last one is on its way.
  /** @return Whether it is for that one now. */
  [[nodiscard]] bool may_be_used_again() noexcept {
    if (requested_.load(std::memory_order_relaxed) != asio::cancellation_type::none) return false;
    completed_.store(false, std::memory_order_relaxed);
    return true;
  }

 private:
  SLUICE_DECL static void emit_requested(ready_node& node, worker* w);

  asio::cancellation_signal signal_;
  std::atomic<asio::cancellation_type> requested_{asio::cancellation_type::none};
  std::shared_ptr<emission> queued_;
  std::atomic<bool> completed_{false};
};

}  // namespace sluice::detail
