#include <sluice/detail/range_select_wait.hpp>

#include <optional>
#include <stdexcept>
#include <vector>

namespace sluice::detail {

struct range_select_wait::state {
  std::uint32_t otherwise = select_wait::none;
  bool for_handler = false;
  std::vector<select_entry> own;
  std::vector<std::uint32_t> candidates;
  std::vector<foreign_case*> foreign;
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
  get().own.reserve(cases);
}
select_entry& range_select_wait::add_own() {
  return get().own.emplace_back();
}
foreign_case*& range_select_wait::add_foreign() {
  return get().foreign.emplace_back();
}
void range_select_wait::set_otherwise(std::uint32_t index) {
  get().otherwise = index;
}
void range_select_wait::wait_for_handler() {
  get().for_handler = true;
}

bool range_select_wait::start(goroutine& g, select_wait::order order) {
  state& s = get();
  const bool has_otherwise = s.otherwise != select_wait::none;
  if (has_otherwise && !s.foreign.empty())
    throw std::invalid_argument("sluice::select: an Asio operation cannot stand beside otherwise");
  s.candidates.resize(s.own.size());
  s.wait.emplace(order, has_otherwise);
  if (s.for_handler) s.wait->wait_for_handler();
  return s.wait->start(g, s.own, s.candidates, s.foreign);
}

std::size_t range_select_wait::finish() {
  const auto winner = state_->wait->finish();
  return winner == select_wait::none ? state_->otherwise : winner;
}

}  // namespace sluice::detail
