// SPDX-License-Identifier: BSL-1.0
// What a server does beside accepting: it reports errors, stops in its order, and gives memory
// back. It completes when nobody is left who uses its acceptor, its handler or its result.

#include <sluice/detail/serve/serve_state.hpp>

#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/operation/asio_operation.hpp>
#include <sluice/detail/sync/child.hpp>
#include <sluice/detail/task/uncancelled.hpp>
#include <sluice/executor.hpp>
#include <sluice/select.hpp>

#include <boost/asio/basic_signal_set.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/this_coro.hpp>

#include <algorithm>
#include <cstdio>

#if defined(__GLIBC__)
#include <malloc.h>
#endif

namespace sluice::detail {

struct stop_signals {
  explicit stop_signals(const dispatcher_ptr& where) : set(detail::executor_on(where)) {}
  asio::basic_signal_set<executor> set;
};

bool once_a_second::is_due() noexcept {
  const auto now = clock::now().time_since_epoch();
  auto last = last_.load(std::memory_order_relaxed);
  return now - last >= std::chrono::seconds(1) &&
         last_.compare_exchange_strong(last, now, std::memory_order_relaxed);
}

// The signals are caught from here on, not from when somebody waits for them.
serve_state::serve_state(start_point at, serve_options options, bool listening)
    : at_(std::move(at)),
      options_(std::move(options)),
      cut_(with_cancel(context::background())),
      stopping_(with_cancel(cut_.ctx)),
      signals_(options_.signals.empty() ? nullptr : new stop_signals(at_.where)) {
  if (options_.max_connections != 0) permits.emplace(options_.max_connections);
  if (!listening) no_begin_ = asio::error::bad_descriptor;
  for (const int signal : options_.signals)
    if (!no_begin_) signals_->set.add(signal, no_begin_);
}

serve_state::~serve_state() = default;

/// Calls a function of the user's. What it throws leaves the context's `run()`, and no loop of
/// ours.
template <class Function>
void serve_state::call_user(Function f) {
  SLUICE_TRY {
    f();
  }
  SLUICE_CATCH_ALL {
    asio::post(detail::executor_on(at_.where),
               [thrown = std::current_exception()] { std::rethrow_exception(thrown); });
  }
}

serve_state::advice serve_state::accept_failed(const error_code& e) {
  if (stopping_.ctx.err() || e == asio::error::operation_aborted) return advice::never;
  // EOPNOTSUPP is not among them: Linux gives it for an error of the new connection, too.
  if (e == boost::system::errc::bad_file_descriptor || e == boost::system::errc::not_a_socket ||
      e == boost::system::errc::invalid_argument) {
    failure = e;
    return advice::never;
  }
  // The peer's own fault, or a signal.
  if (e == boost::system::errc::connection_aborted || e == boost::system::errc::connection_reset ||
      e == boost::system::errc::protocol_error || e == boost::system::errc::interrupted)
    return advice::again;
  if (accept_reports_.is_due()) {
    if (options_.report_accept)
      call_user([&] { options_.report_accept(e); });
    else
      std::fprintf(stderr, "accept: %s\n", e.message().c_str());
  }
  return advice::later;
}

void serve_state::connection_failed() {
  const auto failed = std::current_exception();
  const error_code e = detail::visit_exception<system_error>(
      failed, [](const system_error& x) { return x.code(); }, [] { return error_code(); });
  if (e == asio::error::operation_aborted && cut_.ctx.err()) return;
  const bool peer_has_ended = e == asio::error::eof;
  if (options_.report)
    call_user([&] { options_.report(failed); });
  else if (!peer_has_ended && connection_lines_.is_due())  // which is how most connections end
    std::fprintf(stderr, "a connection has failed: %s\n", describe(failed).c_str());
}

namespace {

// One step of preparation: four descriptors for each of so many connections.
constexpr std::ptrdiff_t connections_of_a_step = 32;
constexpr std::size_t descriptors_of_a_step = 128;

constexpr std::ptrdiff_t few_connections = 16;

void give_free_memory_back() {
#if defined(__GLIBC__)
  ::malloc_trim(0);
#endif
}

/// Why a select has failed. @throws std::bad_alloc
template <class Select>
task<error_code> failure_of(Select& waiting) {
  const auto outcome = co_await arguments_of_operation(waiting);
  const error_code e = detail::code_of(std::get<0>(outcome));
  if (e == asio::error::no_memory) detail::throw_exception(std::bad_alloc());
  co_return e;
}

/// Waits until the group is empty, but not longer than the limit, nor beyond a signal or a request
/// for cancellation; the next one counts again.
/** @return Whether a signal or a request has come. */
task<bool> wait_for_end_or_stop(wait_group& group, clock::duration limit, stop_signals* signals) {
  // Also called for a wait that has lost: it may have seen the signal all the same.
  bool come = false;
  error_code failed;
  if (signals) {
    const auto note = [&](error_code e, int) { come = !e; };
    const auto nothing = [] {};
    auto waiting = select(on(group.wait(), nothing), on(sleep_for(limit), nothing),
                          on(signals->set.async_wait(asio::deferred), note, note));
    failed = co_await failure_of(waiting);
  } else {
    auto waiting = select(group.wait(), sleep_for(limit));
    failed = co_await failure_of(waiting);
  }
  if (!failed) co_return come;
  const auto all = [](asio::cancellation_type type) { return type; };
  co_await asio::this_coro::reset_cancellation_state(all);
  co_return true;
}

}  // namespace

task<> serve_state::supervise(std::shared_ptr<serve_state> self) {
  serve_state& s = *self;
  stop_signals* const signals = s.signals_.get();
  int asked = 0;  // how often the server has been asked to stop
  if (!s.no_begin_)
    asked += co_await wait_for_end_or_stop(s.accepting, clock::duration::max(), signals);
  s.stopping_.cancel();
  co_await uncancelled(s.accepting.wait());
  if (s.no_begin_) s.failure = s.no_begin_;
  if (s.options_.grace > clock::duration::zero())
    asked += co_await wait_for_end_or_stop(s.connections, s.options_.grace, signals);
  if (const auto left = s.connections.count(); left > 0) {
    s.result.cut_off = static_cast<std::size_t>(left);
    s.cut_.cancel();
  }
  while (asked < 2 && s.connections.count() > 0)
    asked += co_await wait_for_end_or_stop(s.connections, clock::duration::max(), signals);
  // Not earlier: a signal that comes when the last connection has ended must not end the program.
  error_code ignored;
  if (signals && asked >= 2) signals->set.clear(ignored);
  co_await uncancelled(s.connections.wait());
  co_await uncancelled(s.handlers.wait());
  if (s.options_.give_memory_back && s.most_ >= few_connections) give_free_memory_back();
}

std::size_t serve_state::descriptors_to_prepare() noexcept {
  const auto now = connections.count();
  auto most = most_.load(std::memory_order_relaxed);
  while (most < now && !most_.compare_exchange_weak(most, now, std::memory_order_relaxed)) continue;
  if (now <= prepared_) return 0;
  prepared_ += connections_of_a_step;
  return descriptors_of_a_step;
}

// Only one of those who end at the same time sees that half have gone. The others are a part of the
// next half: what remains is a few connections' memory.
void serve_state::connection_ends() {
  const auto left = connections.count() - 1;
  auto most = most_.load(std::memory_order_relaxed);
  if (most < few_connections || left > most / 2) return;
  if (!most_.compare_exchange_strong(most, left, std::memory_order_relaxed)) return;
  error_code told_already;
  many_have_gone_.try_send(told_already);
}

task<> serve_state::give_memory_back(serve_member self) {
  serve_state& s = *self.state();
  for (error_code stops; !stops;) {
    auto many_have_gone = s.many_have_gone_.receive();
    stops = std::get<0>(co_await arguments_of_operation(many_have_gone));
    if (stops) break;
    give_free_memory_back();
    auto pause = sleep_for(std::chrono::seconds(1));
    stops = std::get<0>(co_await arguments_of_operation(pause));
  }
}

}  // namespace sluice::detail
