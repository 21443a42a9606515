#pragma once

#include <sluice/detail/goroutine.hpp>
#include <sluice/detail/select_wait.hpp>

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

  // Before it starts; the references are good until the next call.
  void reserve(std::size_t cases);
  [[nodiscard]] select_entry& add_own();
  [[nodiscard]] foreign_case*& add_foreign();
  void set_otherwise(std::uint32_t index);
  void wait_for_handler();

  /// As `select_wait::start`.
  /** @throws std::invalid_argument for an Asio operation beside `otherwise`; std::bad_alloc */
  [[nodiscard]] bool start(goroutine& g, select_wait::order order);
  /// As `select_wait::finish`, with the index of `otherwise` where that happened.
  [[nodiscard]] std::size_t finish();

 private:
  struct state;

  state& get();

  std::unique_ptr<state> state_;
};

}  // namespace sluice::detail
