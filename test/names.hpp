#pragma once

#include <sluice.hpp>

#include <boost/asio.hpp>
#include <boost/test/unit_test.hpp>

#include <chrono>
#include <string>
#include <vector>

/// What the tests call by its short name.
namespace sluice_test {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::test_tools::per_element;
using namespace std::chrono_literals;

using sluice::abandon;
using sluice::after;
using sluice::after_func;
using sluice::bind_context;
using sluice::channel;
using sluice::clock;
using sluice::condition;
using sluice::context;
using sluice::error_code;
using sluice::group_errors;
using sluice::make_channel;
using sluice::merge_contexts;
using sluice::mutex;
using sluice::offload;
using sluice::offload_pool;
using sluice::on;
using sluice::once;
using sluice::once_value;
using sluice::otherwise;
using sluice::rate_limiter;
using sluice::receiver;
using sluice::select;
using sluice::select_case;
using sluice::select_in_order;
using sluice::semaphore;
using sluice::sender;
using sluice::shared_mutex;
using sluice::sleep_for;
using sluice::sleep_until;
using sluice::task;
using sluice::task_group;
using sluice::ticker;
using sluice::timed_function;
using sluice::timeout;
using sluice::timer;
using sluice::use_task;
using sluice::wait_group;
using sluice::with_cancel;
using sluice::with_deadline;
using sluice::with_slot;
using sluice::with_stop_token;
using sluice::with_task_group;
using sluice::with_timeout;
using sluice::with_value;
using sluice::without_cancel;
using sluice::this_goroutine::yield;

using steady = std::chrono::steady_clock;
using types = asio::cancellation_type;
using ints = std::vector<int>;
using lines = std::vector<std::string>;

}  // namespace sluice_test
