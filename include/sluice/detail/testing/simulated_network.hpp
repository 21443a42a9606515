// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/channel.hpp>
#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/testing/simulated_pipe.hpp>
#include <sluice/executor.hpp>
#include <sluice/testing/network_options.hpp>
#include <sluice/testing/simulation.hpp>
#include <sluice/testing/stream.hpp>

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace sluice::detail {

/// Where connections to a host wait for `accept`.
class simulated_listener {
 public:
  explicit simulated_listener(const executor& ex)
      : waiting(make_channel<testing::stream>(ex, most)) {}

  const channel<testing::stream> waiting;
  bool open = true;

 private:
  /// As many as Linux lets wait.
  static constexpr std::size_t most = 4096;
};

/// The hosts, and what is between them.
class simulated_network {
 public:
  simulated_network(testing::simulation& sim, const testing::network_options& options);

  [[nodiscard]] const executor& get_executor() const noexcept { return executor_; }
  [[nodiscard]] std::shared_ptr<simulated_listener> listen(const std::string& host);
  void set_up(const std::string& a, const std::string& b, bool up);
  void reset(const std::string& a, const std::string& b);

  /// How long something takes from one host to another.
  [[nodiscard]] SLUICE_DECL std::chrono::steady_clock::duration latency() const;
  [[nodiscard]] SLUICE_DECL bool is_up(const std::string& a, const std::string& b);
  /// Closed when it is up, or down, again.
  [[nodiscard]] SLUICE_DECL channel<void> changes(const std::string& a, const std::string& b);
  /// A connection whose other end waits to be accepted; none if nobody listens.
  [[nodiscard]] SLUICE_DECL std::optional<testing::stream> open(const std::string& from,
                                                                const std::string& to);
  [[nodiscard]] SLUICE_DECL testing::stream closed_stream() const noexcept;

 private:
  struct between {
    std::shared_ptr<simulated_link> link = std::make_shared<simulated_link>();
    std::vector<std::weak_ptr<simulated_pipe>> pipes;
    /// Closed, and made anew, when the link has changed.
    channel<void> changed;
  };

  [[nodiscard]] between& of(const std::string& a, const std::string& b);

  const executor executor_;
  const std::shared_ptr<const pipe_chances> chances_;
  std::map<std::string, std::weak_ptr<simulated_listener>> listeners_;
  std::map<std::pair<std::string, std::string>, between> pairs_;
};

}  // namespace sluice::detail
