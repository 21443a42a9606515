#pragma once

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
  range_select_wait() noexcept;
  range_select_wait(range_select_wait&&) noexcept;
  ~range_select_wait();

  // These are called before the wait starts; the references are good until the next call.
  void reserve(std::size_t cases);
  [[nodiscard]] select_entry& add_sluice();
  [[nodiscard]] launched_case*& add_asio();
  void set_otherwise(std::uint32_t index);
  void wait_for_handler();
  /// After all of that.
  /** @throws std::invalid_argument for an Asio operation beside `otherwise`; std::bad_alloc */
  void prepare(select_wait::order order);
  [[nodiscard]] bool has_asio() const noexcept;

  // These do what those of `select_wait` do.
  [[nodiscard]] begun start_for_handler(waker& p, parked_handler& h) noexcept;
  [[nodiscard]] bool done_before_launch(waker& p) noexcept;
  [[nodiscard]] begun start_launching(parked_handler& h, dispatcher_ptr where);
  [[nodiscard]] bool abandoned() const noexcept;
  [[nodiscard]] bool cancel_for_handler() noexcept;
  void woken_for_handler(bool leaves_scheduler) noexcept;
  /** It need not be prepared. @throws std::bad_alloc */
  void fail(select_wait::order order);
  /// Ends a wait that was not resumed; does nothing before the wait has started.
  void forget() noexcept;

  [[nodiscard]] bool start(goroutine& g);
  /// With the index of `otherwise` where that happened.
  [[nodiscard]] std::size_t finish();

 private:
  struct state;

  state& get();

  std::unique_ptr<state> state_;
};

}  // namespace sluice::detail
