// SPDX-License-Identifier: BSL-1.0
// `import sluice;`: the public names of <sluice.hpp>. Beside it a program includes what it uses of
// Asio, and <coroutine> or a header that includes it, before the import; and links to the library.
module;

#include <sluice.hpp>

export module sluice;

export namespace sluice {

namespace asio = boost::asio;

using sluice::abandon;
using sluice::after;
using sluice::after_func;
using sluice::all_failed;
using sluice::all_of_range_failed;
using sluice::begin;
using sluice::bind_context;
using sluice::cancel_function;
using sluice::cancellable_context;
using sluice::cancellation_state;
using sluice::channel;
using sluice::clock;
using sluice::condition;
using sluice::connections_by_descriptors;
using sluice::context;
using sluice::context_binder;
using sluice::context_function;
using sluice::context_key;
using sluice::deadlock_error;
using sluice::describe;
using sluice::describe_goroutines;
using sluice::done_operation;
using sluice::drop_lost;
using sluice::drop_lost_t;
using sluice::error;
using sluice::error_code;
using sluice::executor;
using sluice::for_each;
using sluice::for_each_error;
using sluice::get;
using sluice::get_executor;
using sluice::go;
using sluice::goroutine_count;
using sluice::group_errors;
using sluice::limit;
using sluice::make_channel;
using sluice::make_error_code;
using sluice::merge_contexts;
using sluice::mutex;
using sluice::now;
using sluice::offload;
using sluice::offload_pool;
using sluice::on;
using sluice::once;
using sluice::once_call;
using sluice::once_value;
using sluice::operator!=;
using sluice::operator==;
using sluice::otherwise;
using sluice::peer_watch;
using sluice::rate_limiter;
using sluice::rate_operation;
using sluice::receive_operation;
using sluice::received;
using sluice::receiver;
using sluice::run;
using sluice::run_threads;
using sluice::runtime;
using sluice::select;
using sluice::select_case;
using sluice::select_in_order;
using sluice::select_result;
using sluice::semaphore;
using sluice::send_operation;
using sluice::sender;
using sluice::serve;
using sluice::serve_options;
using sluice::serve_result;
using sluice::server_connection;
using sluice::shared_mutex;
using sluice::singleflight;
using sluice::singleflight_result;
using sluice::sleep_for;
using sluice::sleep_operation;
using sluice::sleep_until;
using sluice::sluice_category;
using sluice::stop_token_of;
using sluice::system_error;
using sluice::task;
using sluice::task_group;
using sluice::task_group_error;
using sluice::ticker;
using sluice::timed_function;
using sluice::timeout;
using sluice::timer;
using sluice::untracked;
using sluice::untracked_executor;
using sluice::use_task;
using sluice::use_task_t;
using sluice::wait_group;
using sluice::wait_group_operation;
using sluice::when_all;
using sluice::when_all_error;
using sluice::when_all_range_error;
using sluice::when_all_range_result;
using sluice::when_all_result;
using sluice::with_cancel;
using sluice::with_deadline;
using sluice::with_slot;
using sluice::with_stop_token;
using sluice::with_task_group;
using sluice::with_timeout;
using sluice::with_value;
using sluice::without_cancel;
using sluice::work_guard;
using sluice::worker_pool;
using sluice::worker_pool_options;
using sluice::worker_pool_stats;

namespace this_goroutine {
using sluice::this_goroutine::set_name;
using sluice::this_goroutine::yield;
}  // namespace this_goroutine

}  // namespace sluice
