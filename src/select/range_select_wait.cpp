// SPDX-License-Identifier: BSL-1.0
// The wait of a select over a range of cases: the lists that `select_wait` needs, in memory of
// their own, which stay where they are from `prepare` to the end of the wait.

#include <sluice/detail/select/range_select_wait.hpp>

#include <sluice/detail/base/exceptions.hpp>

#include <stdexcept>
#include <utility>
#include <variant>
#include <vector>

namespace sluice::detail {

struct range_select_wait::state {
  /// Calls `f` with the wait; a `select_group` if there are Asio cases.
  template <class F>
  decltype(auto) visit(F f) {
    if (auto* const group = std::get_if<select_group>(&wait)) return f(*group);
    return f(std::get<select_wait>(wait));
  }
  [[nodiscard]] select_group& group() { return std::get<select_group>(wait); }

  std::uint32_t otherwise = select_wait::none;
  bool for_handler = false;
  std::vector<select_entry> entries;
  std::vector<std::uint32_t> candidates;
  std::vector<launched_case*> asio_cases;
  std::variant<std::monostate, select_wait, select_group> wait;
};

range_select_wait::range_select_wait() noexcept = default;
range_select_wait::range_select_wait(range_select_wait&&) noexcept = default;
range_select_wait::~range_select_wait() = default;

range_select_wait::state& range_select_wait::get() {
  if (!state_) state_ = std::make_unique<state>();
  return *state_;
}

void range_select_wait::begin_anew(std::size_t cases) {
  state& s = get();
  s.entries.clear();
  s.asio_cases.clear();
  s.otherwise = select_wait::none;
  s.entries.reserve(cases);
}
select_entry& range_select_wait::add_sluice() {
  return get().entries.emplace_back();
}
launched_case*& range_select_wait::add_asio() {
  return get().asio_cases.emplace_back();
}
void range_select_wait::set_otherwise(std::uint32_t index) {
  get().otherwise = index;
}
void range_select_wait::wait_for_handler() {
  get().for_handler = true;
}

void range_select_wait::prepare(select_wait::order order) {
  state& s = get();
  const bool has_otherwise = s.otherwise != select_wait::none;
  if (has_otherwise && !s.asio_cases.empty())
    detail::throw_exception(
        std::invalid_argument("sluice::select: an Asio operation cannot stand beside otherwise"));
  s.candidates.resize(s.entries.size());
  const auto purpose =
      has_otherwise ? select_wait::purpose::select_with_otherwise : select_wait::purpose::select;
  if (s.asio_cases.empty())
    s.wait.emplace<select_wait>(order, purpose);
  else
    s.wait.emplace<select_group>(order, purpose);
  if (s.for_handler) s.visit([](auto& wait) { wait.wait_for_handler(); });
}
bool range_select_wait::has_asio() const noexcept {
  return !state_->asio_cases.empty();
}

bool range_select_wait::start(goroutine& g) {
  state& s = *state_;
  if (has_asio()) return s.group().start(g, s.entries, s.candidates, s.asio_cases);
  return std::get<select_wait>(s.wait).start(g, s.entries, s.candidates);
}

begun range_select_wait::start_for_handler(waker& p, parked_handler& h) noexcept {
  state& s = *state_;
  return std::get<select_wait>(s.wait).start_for_handler(p, h, s.entries, s.candidates);
}
bool range_select_wait::done_before_launch(waker& p) noexcept {
  state& s = *state_;
  return s.group().done_before_launch(p, s.entries, s.candidates, s.asio_cases,
                                      select_group::choose_turn());
}
begun range_select_wait::start_launching(parked_handler& h, dispatcher_ptr where) {
  return state_->group().start_launching(h, std::move(where));
}
bool range_select_wait::abandoned() const noexcept {
  const auto* const group = std::get_if<select_group>(&state_->wait);
  return group && group->abandoned();
}
bool range_select_wait::cancel_for_handler() noexcept {
  return state_->visit([](auto& wait) { return wait.cancel_for_handler(); });
}
void range_select_wait::woken_for_handler(bool leaves_scheduler) noexcept {
  state_->visit([=](auto& wait) { wait.woken_for_handler(leaves_scheduler); });
}
void range_select_wait::fail(select_wait::order order) {
  get().wait.emplace<select_wait>(order, select_wait::purpose::select).fail();
}
void range_select_wait::forget() noexcept {
  if (state_ && state_->wait.index() != 0) state_->visit([](auto& wait) { wait.forget(); });
}

error_code range_select_wait::failure_code() const noexcept {
  return state_->visit([](const auto& wait) { return wait.failure_code(); });
}

std::size_t range_select_wait::finish() {
  const auto winner = state_->visit([](auto& wait) { return wait.finish(); });
  return winner == select_wait::none ? state_->otherwise : winner;
}

}  // namespace sluice::detail
