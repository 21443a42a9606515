// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/goroutine/goroutine.hpp>
#include <sluice/detail/select/select_group.hpp>
#include <sluice/detail/select/select_wait.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>

namespace sluice::detail {

/// The wait of a select whose cases are known only when it runs.
class range_select_wait {
 public:
  SLUICE_DECL range_select_wait() noexcept;
  SLUICE_DECL range_select_wait(range_select_wait&&) noexcept;
  SLUICE_DECL ~range_select_wait();

  // These are called before the wait starts; the references are good until the next call.
  SLUICE_DECL void begin_anew(std::size_t cases);
  [[nodiscard]] SLUICE_DECL select_entry& add_sluice();
  [[nodiscard]] SLUICE_DECL launched_case*& add_asio();
  SLUICE_DECL void set_otherwise(std::uint32_t index);
  SLUICE_DECL void wait_for_handler();
  /// After all of that.
  /** @throws std::invalid_argument for an Asio operation beside `otherwise`; std::bad_alloc */
  SLUICE_DECL void prepare(select_wait::order order);
  [[nodiscard]] SLUICE_DECL bool has_asio() const noexcept;

  // These do what those of `select_wait` do.
  [[nodiscard]] SLUICE_DECL begun start_for_handler(waker& p, parked_handler& h) noexcept;
  [[nodiscard]] SLUICE_DECL bool done_before_launch(waker& p) noexcept;
  [[nodiscard]] SLUICE_DECL begun start_launching(parked_handler& h, dispatcher_ptr where);
  [[nodiscard]] SLUICE_DECL bool abandoned() const noexcept;
  [[nodiscard]] SLUICE_DECL bool cancel_for_handler() noexcept;
  SLUICE_DECL void woken_for_handler(bool leaves_scheduler) noexcept;
  /** It need not be prepared. @throws std::bad_alloc */
  SLUICE_DECL void fail(select_wait::order order);
  /// Ends a wait that was not resumed; does nothing before the wait has started.
  SLUICE_DECL void forget() noexcept;

  [[nodiscard]] SLUICE_DECL bool start(goroutine& g);
  /// With the index of `otherwise` where that happened.
  [[nodiscard]] SLUICE_DECL std::size_t finish();
  /// Why none has happened, after `finish`.
  [[nodiscard]] SLUICE_DECL error_code failure_code() const noexcept;

 private:
  struct state;

  SLUICE_DECL state& get();

  std::unique_ptr<state> state_;
};

}  // namespace sluice::detail
