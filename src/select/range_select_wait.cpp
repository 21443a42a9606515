// The wait of a select over a range of cases: the lists that `select_wait` needs, in memory of
// their own, which stay where they are from `prepare` to the end of the wait.

#include <sluice/detail/select/range_select_wait.hpp>

#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

namespace sluice::detail {

struct range_select_wait::state {
  std::uint32_t otherwise = select_wait::none;
  bool for_handler = false;
  std::vector<select_entry> entries;
  std::vector<std::uint32_t> candidates;
  std::vector<launched_case*> asio_cases;
  std::optional<select_wait> wait;
};

range_select_wait::range_select_wait() noexcept = default;
range_select_wait::range_select_wait(range_select_wait&&) noexcept = default;
range_select_wait::~range_select_wait() = default;

range_select_wait::state& range_select_wait::get() {
  if (!state_) state_ = std::make_unique<state>();
  return *state_;
}

void range_select_wait::reserve(std::size_t cases) {
  get().entries.reserve(cases);
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
    throw std::invalid_argument("sluice::select: an Asio operation cannot stand beside otherwise");
  s.candidates.resize(s.entries.size());
  s.wait.emplace(order, has_otherwise);
  if (s.for_handler) s.wait->wait_for_handler();
}
bool range_select_wait::has_asio() const noexcept {
  return !state_->asio_cases.empty();
}

bool range_select_wait::start(goroutine& g) {
  state& s = *state_;
  return s.wait->start(g, s.entries, s.candidates, s.asio_cases);
}

begun range_select_wait::start_for_handler(waker& p, parked_handler& h) noexcept {
  state& s = *state_;
  return s.wait->start_for_handler(p, h, s.entries, s.candidates);
}
bool range_select_wait::done_before_launch(waker& p) noexcept {
  state& s = *state_;
  return s.wait->done_before_launch(p, s.entries, s.candidates, s.asio_cases,
                                    select_wait::choose_turn());
}
begun range_select_wait::start_launching(parked_handler& h, target_ptr where) {
  return state_->wait->start_launching(h, std::move(where));
}
bool range_select_wait::abandoned() const noexcept {
  return state_->wait->abandoned();
}
bool range_select_wait::cancel_for_handler() noexcept {
  return state_->wait->cancel_for_handler();
}
void range_select_wait::woken_for_handler(bool leaves_scheduler) noexcept {
  state_->wait->woken_for_handler(leaves_scheduler);
}
void range_select_wait::fail(select_wait::order order) {
  get().wait.emplace(order, false).fail();
}
void range_select_wait::forget() noexcept {
  if (state_ && state_->wait) state_->wait->forget();
}

std::size_t range_select_wait::finish() {
  const auto winner = state_->wait->finish();
  return winner == select_wait::none ? state_->otherwise : winner;
}

}  // namespace sluice::detail
