// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <boost/asio/execution.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/prefer.hpp>

#include <type_traits>
#include <utility>

namespace sluice::detail {

namespace asio = boost::asio;

/// Outstanding work of an executor. `asio::executor_work_guard` does not compile for a strand over
/// a type-erased executor in Boost 1.81, because such a strand looks like an executor of the older
/// model.
template <class Executor>
class outstanding_work {
 public:
  explicit outstanding_work(const Executor& ex)
      : tracked_(asio::prefer(ex, asio::execution::outstanding_work.tracked)) {}

 private:
  std::decay_t<decltype(asio::prefer(std::declval<const Executor&>(),
                                     asio::execution::outstanding_work.tracked))>
      tracked_;
};
template <class Executor>
  requires(!asio::execution::is_executor<Executor>::value)
class outstanding_work<Executor> {
 public:
  explicit outstanding_work(const Executor& ex) : guard_(ex) {}

 private:
  asio::executor_work_guard<Executor> guard_;
};

}  // namespace sluice::detail
