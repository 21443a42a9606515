// SPDX-License-Identifier: BSL-1.0
// Connections in memory, and the hosts that they are between.

#include <sluice/testing/network.hpp>

#include "testing/simulated_network.hpp"

#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/scheduler/environment.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>
#include <sluice/detail/scheduler/scheduler_link.hpp>
#include <sluice/error.hpp>
#include <sluice/sleep.hpp>
#include <sluice/timeout.hpp>

#include <boost/asio/error.hpp>

#include <algorithm>
#include <chrono>
#include <utility>

namespace sluice::detail {

namespace {

using namespace std::chrono_literals;

/// As long as Linux tries by default.
constexpr auto longest_connect = 127s;

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

// There and back again. Whether somebody listens is seen when the request arrives.
task<testing::stream> simulated_network::connect(std::shared_ptr<simulated_network> self,
                                                 std::string from, std::string to) {
  const auto give_up = sluice::now() + longest_connect;
  co_await sleep_for(self->chances_->latency());
  while (!self->of(from, to).link->up) {
    const auto changed = self->of(from, to).changed;
    co_await timeout(changed.receive(), give_up - sluice::now());
  }
  auto listener = self->listeners_[to].lock();
  if (!listener || !listener->open)
    detail::throw_exception(
        system_error(asio::error::connection_refused, "sluice: connect to " + to));
  const auto make_pipe = [&] {
    auto& pair = self->of(from, to);
    auto pipe = std::make_shared<simulated_pipe>(self->executor_, self->chances_, pair.link);
    std::erase_if(pair.pipes, [](const auto& p) { return p.expired(); });
    pair.pipes.push_back(pipe);
    return pipe;
  };
  const auto there = make_pipe();
  const auto back = make_pipe();
  error_code full;
  if (!listener->waiting.try_send(testing::stream(self->executor_, there, back), full))
    detail::throw_exception(
        system_error(asio::error::connection_refused, "sluice: connect to " + to));
  listener = nullptr;
  testing::stream here(self->executor_, back, there);
  co_await sleep_for(self->chances_->latency());
  co_return here;
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

stream& stream::operator=(stream&& other) noexcept {
  if (this == &other) return *this;
  close();
  executor_ = other.executor_;
  in_ = std::move(other.in_);
  out_ = std::move(other.out_);
  return *this;
}

stream::~stream() {
  close();
}

void stream::shutdown_send() noexcept {
  if (out_) out_->end_writing();
}

void stream::close() noexcept {
  if (!is_open()) return;
  cancel();
  out_->end_writing();
  in_->end_reading();
  in_ = nullptr;
  out_ = nullptr;
}

void stream::reset() noexcept {
  if (!is_open()) return;
  in_->break_off();
  out_->break_off();
}

void stream::cancel() noexcept {
  if (!is_open()) return;
  in_->cancel_read();
  out_->cancel_write();
}

acceptor::~acceptor() {
  close();
}

task<stream> acceptor::accept() {
  const auto listener = listener_;
  if (!listener)
    detail::throw_exception(system_error(asio::error::operation_aborted, "sluice: accept"));
  auto accepted = co_await listener->waiting.receive();
  if (!accepted)
    detail::throw_exception(system_error(asio::error::operation_aborted, "sluice: accept"));
  co_return std::move(*accepted);
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
  return acceptor(state_->listen(host));
}

task<stream> network::connect(std::string from, std::string to) {
  return sluice::detail::simulated_network::connect(state_, std::move(from), std::move(to));
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
