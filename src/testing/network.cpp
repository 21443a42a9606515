// SPDX-License-Identifier: BSL-1.0
// Connections in memory, and the hosts that they are between.

#include <sluice/testing/network.hpp>

#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/scheduler/environment.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>
#include <sluice/detail/scheduler/scheduler_link.hpp>
#include <sluice/error.hpp>

#include <boost/asio/error.hpp>

#include <algorithm>
#include <chrono>
#include <utility>

namespace sluice::detail {

namespace {

// The first answer to each question is the plainest, so that a schedule that is shortened has no
// chances in it that are not needed.
// A stream may outlive its simulation: then nothing is left to chance.
pipe_chances chances_of(testing::simulation& sim, const testing::network_options& options) {
  const auto link = scheduler_of(sim.get_executor()).link();
  const auto choose = [link](std::uint32_t among) -> std::uint32_t {
    const pinned_scheduler s(*link);
    return s ? s->simulated()->choose(among) : 0;
  };
  return {[link] {
            const pinned_scheduler s(*link);
            return s ? s->now() : clock::time_point();
          },
          [choose, options] {
            constexpr std::uint32_t steps = 4;
            const auto range = options.most_latency - options.least_latency;
            if (range <= clock::duration::zero()) return options.least_latency;
            return options.least_latency + range * choose(steps) / (steps - 1);
          },
          [choose, options](std::size_t n) -> std::size_t {
            if (!options.short_operations || n == 1) return n;
            switch (choose(4)) {
              case 2:
                return (n + 1) / 2;
              case 3:
                return 1;
              default:
                return n;
            }
          },
          [choose, options] {
            return options.resets_one_of != 0 && choose(options.resets_one_of + 1) == 1;
          }};
}

bool is_open(const std::weak_ptr<simulated_listener>& known) noexcept {
  const auto listener = known.lock();
  return listener && listener->open;
}

}  // namespace

simulated_network::simulated_network(testing::simulation& sim,
                                     const testing::network_options& options)
    : executor_(sim.get_executor()),
      chances_(std::make_shared<const pipe_chances>(chances_of(sim, options))) {}

simulated_network::between& simulated_network::of(const std::string& a, const std::string& b) {
  auto& found = pairs_[std::minmax(a, b)];
  if (!found.changed) found.changed = make_channel<void>(executor_);
  return found;
}

std::shared_ptr<simulated_listener> simulated_network::listen(const std::string& host) {
  auto& known = listeners_[host];
  if (is_open(known))
    detail::throw_exception(system_error(asio::error::address_in_use, "sluice: listen on " + host));
  auto made = std::make_shared<simulated_listener>(executor_);
  known = made;
  return made;
}

std::chrono::steady_clock::duration simulated_network::latency() const {
  return chances_->latency();
}

bool simulated_network::is_up(const std::string& a, const std::string& b) {
  return of(a, b).link->up;
}

channel<void> simulated_network::changes(const std::string& a, const std::string& b) {
  return of(a, b).changed;
}

std::optional<testing::stream> simulated_network::open(const std::string& from,
                                                       const std::string& to) {
  const auto listener = listeners_[to].lock();
  if (!listener || !listener->open) return std::nullopt;
  auto& pair = of(from, to);
  std::erase_if(pair.pipes, [](const auto& p) { return p.expired(); });
  const auto make_pipe = [&] {
    auto pipe = std::make_shared<simulated_pipe>(executor_, chances_, pair.link);
    pair.pipes.push_back(pipe);
    return pipe;
  };
  const auto there = make_pipe();
  const auto back = make_pipe();
  simulated_pipe::connect(*there, *back);
  error_code full;
  if (!listener->waiting.try_send(testing::stream(executor_, there, back), full))
    return std::nullopt;
  return testing::stream(executor_, back, there);
}

testing::stream simulated_network::closed_stream() const noexcept {
  return testing::stream(executor_, nullptr, nullptr);
}

void simulated_network::set_up(const std::string& a, const std::string& b, bool up) {
  auto& pair = of(a, b);
  pair.link->up = up;
  for (const auto& weak : pair.pipes)
    if (const auto pipe = weak.lock()) pipe->link_has_changed();
  std::exchange(pair.changed, make_channel<void>(executor_)).close();
}

void simulated_network::reset(const std::string& a, const std::string& b) {
  for (const auto& weak : of(a, b).pipes)
    if (const auto pipe = weak.lock()) pipe->break_off();
}

}  // namespace sluice::detail

namespace sluice::testing {

acceptor::~acceptor() {
  close();
}

// Those that wait are broken, as a kernel does.
void acceptor::close() noexcept {
  const auto listener = std::exchange(listener_, nullptr);
  if (!listener) return;
  listener->open = false;
  error_code none;
  while (auto waiting = listener->waiting.try_receive(none)) waiting->reset();
  error_code closed_before;
  listener->waiting.close(closed_before);
}

network::network(simulation& sim, const network_options& options)
    : state_(std::make_shared<sluice::detail::simulated_network>(sim, options)) {}

network::~network() = default;

acceptor network::listen(const std::string& host) {
  return acceptor(state_->get_executor(), state_->listen(host));
}

void network::partition(const std::string& a, const std::string& b) {
  state_->set_up(a, b, false);
}

void network::repair(const std::string& a, const std::string& b) {
  state_->set_up(a, b, true);
}

void network::reset(const std::string& a, const std::string& b) {
  state_->reset(a, b);
}

}  // namespace sluice::testing
