// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/channel.hpp>
#include <sluice/detail/testing/simulated_pipe.hpp>
#include <sluice/executor.hpp>
#include <sluice/testing/network.hpp>

#include <map>
#include <memory>
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

  [[nodiscard]] std::shared_ptr<simulated_listener> listen(const std::string& host);
  [[nodiscard]] static task<testing::stream> connect(std::shared_ptr<simulated_network> self,
                                                     std::string from, std::string to);
  void set_up(const std::string& a, const std::string& b, bool up);
  void reset(const std::string& a, const std::string& b);

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
