#include <sluice/serve.hpp>

#include <sluice/detail/uncancelled.hpp>
#include <sluice/executor.hpp>
#include <sluice/select.hpp>

#include <boost/asio/basic_signal_set.hpp>
#include <boost/asio/this_coro.hpp>

#include <poll.h>
#include <sys/socket.h>

#include <cstdio>

namespace sluice::detail {

struct stop_signals {
  explicit stop_signals(const target_ptr& where) : set(executor(where)) {}
  asio::basic_signal_set<executor> set;
};

// The signals are caught from here on, not from when somebody waits for them.
serve_state::serve_state(start_place place, serve_options options)
    : place_(std::move(place)),
      options_(std::move(options)),
      cut_(with_cancel(context::background())),
      stopping_(with_cancel(cut_.ctx)),
      signals_(options_.signals.empty() ? nullptr : new stop_signals(place_.where)) {
  if (options_.max_connections != 0) slots.emplace(options_.max_connections);
  for (const int signal : options_.signals)
    if (!failure) signals_->set.add(signal, failure);
}

serve_state::~serve_state() = default;

serve_state::advice serve_state::accept_failed(const error_code& e) {
  using namespace boost::system;
  if (stopping_.ctx.err() || e == asio::error::operation_aborted) return advice::never;
  if (e == errc::bad_file_descriptor || e == errc::not_a_socket || e == errc::invalid_argument ||
      e == errc::operation_not_supported) {
    failure = e;
    return advice::never;
  }
  // The peer's own fault, or a signal.
  if (e == errc::connection_aborted || e == errc::connection_reset || e == errc::protocol_error ||
      e == errc::interrupted)
    return advice::again;
  const auto now = clock::now();
  if (!last_report_ || now - *last_report_ >= std::chrono::seconds(1)) {
    last_report_ = now;
    if (options_.report_accept)
      options_.report_accept(e);
    else
      std::fprintf(stderr, "accept: %s\n", e.message().c_str());
  }
  return advice::later;
}

void serve_state::connection_failed() {
  const auto failed = std::current_exception();
  bool peer_has_ended = false;
  try {
    throw;
  } catch (const system_error& e) {
    if (e.code() == asio::error::operation_aborted && cut_.ctx.err()) return;
    peer_has_ended = e.code() == asio::error::eof;
  } catch (...) {
  }
  if (options_.report)
    options_.report(failed);
  else if (!peer_has_ended)  // which is how most connections end
    std::fprintf(stderr, "a connection has failed: %s\n", describe(failed).c_str());
}

namespace {

task<> wait_for(wait_group& group, clock::duration limit, stop_signals* signals) {
  if (signals)
    co_await select(group.wait(), sleep_for(limit),
                    signals->set.async_wait(asio::as_tuple(asio::deferred)));
  else
    co_await select(group.wait(), sleep_for(limit));
}

/// Waits until the group is empty, but not longer than the limit, nor beyond a signal or a request
/// for cancellation; the next one counts again.
task<> wait_for_end_or_stop(wait_group& group, clock::duration limit, stop_signals* signals) {
  bool cancelled = false;
  try {
    co_await wait_for(group, limit, signals);
  } catch (const system_error&) {
    cancelled = true;
  }
  if (cancelled) {
    const auto all = [](asio::cancellation_type type) { return type; };
    co_await asio::this_coro::reset_cancellation_state(all);
  }
}

}  // namespace

task<> serve_state::supervise(std::shared_ptr<serve_state> self) {
  serve_state& s = *self;
  stop_signals* const signals = s.signals_.get();
  if (!s.failure) co_await wait_for_end_or_stop(s.accepting, clock::duration::max(), signals);
  s.stopping_.cancel();
  co_await uncancelled(s.accepting.wait());
  if (s.options_.grace > clock::duration::zero())
    co_await wait_for_end_or_stop(s.connections, s.options_.grace, signals);
  if (const auto left = s.connections.count(); left > 0) {
    s.result.cut_off = static_cast<std::size_t>(left);
    s.cut_.cancel();
  }
  co_await uncancelled(s.connections.wait());
  co_await uncancelled(s.handlers.wait());
}

peer look_at_peer(int descriptor) noexcept {
#ifdef POLLRDHUP
  constexpr short ended = POLLRDHUP;
#else
  constexpr short ended = 0;
#endif
  ::pollfd socket{descriptor, static_cast<short>(POLLIN | ended), 0};
  if (::poll(&socket, 1, 0) < 0) return peer::there;
  if (socket.revents & (POLLERR | POLLHUP | POLLNVAL)) return peer::gone;
  if (socket.revents & ended) return peer::has_ended_its_stream;
  char byte;
  if ((socket.revents & POLLIN) && ::recv(descriptor, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
    return peer::has_ended_its_stream;
  return peer::there;
}

}  // namespace sluice::detail
