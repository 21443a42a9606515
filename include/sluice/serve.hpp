#pragma once

#include <sluice/channel.hpp>
#include <sluice/context.hpp>
#include <sluice/detail/operation/initiation.hpp>
#include <sluice/detail/select/select_cases.hpp>
#include <sluice/error.hpp>
#include <sluice/go.hpp>
#include <sluice/semaphore.hpp>
#include <sluice/task.hpp>
#include <sluice/timer.hpp>
#include <sluice/use_task.hpp>
#include <sluice/wait_group.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/execution/executor.hpp>
#include <boost/asio/posix/basic_stream_descriptor.hpp>
#include <boost/asio/socket_base.hpp>

#include <atomic>
#include <chrono>
#include <concepts>
#include <cstddef>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <source_location>
#include <stdexcept>
#include <type_traits>
#include <utility>
#include <vector>

namespace sluice {

/// How many connections the system's limit of open descriptors (`RLIMIT_NOFILE`) leaves room for.
/**
 * @param descriptors How many each connection has.
 * @return At least 1; 0 if there is no limit. A sixteenth of the descriptors, and at least 16, is
 * left for other things.
 */
[[nodiscard]] std::size_t connections_by_descriptors(std::size_t descriptors = 1) noexcept;

/// How `serve` goes about it.
class serve_options {
 public:
  // Not an aggregate: g++ 12 copies those bitwise inside a co_await expression.
  serve_options() {}

  /// How many connections there are at a time; 0: any number. One too many waits in the system's
  /// queue until another has ended, or is refused, if `serve` was given a function that does.
  std::size_t max_connections = connections_by_descriptors();

  /// How long connections have to end by themselves when the server stops; then they are cut off.
  clock::duration grace = std::chrono::seconds(10);

  /// The signals that stop the server: the first gracefully, the second at once. Then they have
  /// their default effect again, so that a third one ends the program if a connection does not.
  std::vector<int> signals;

  /// Whether the allocator is told to give free memory back to the system whenever half of the
  /// connections have gone, at most once a second. That takes some ms for every 100 MB that they
  /// had; what the allocator keeps otherwise can be as much as they had.
  bool give_memory_back = true;

  /// Told of an exception that has left a connection's handler, and has ended that connection only.
  /** An error of a connection that has been cut off is none. It may be called from several threads
   * at the same time. What it throws leaves the context's `run()`, and the server goes on. Without
   * one a line is written to standard error, at most once a second, and none for
   * `asio::error::eof`. */
  std::function<void(std::exception_ptr)> report;

  /// Told why nobody can be accepted at present (out of descriptors, for example), at most once a
  /// second. What it throws leaves `run()` as well. Without one a line is written to standard
  /// error.
  std::function<void(error_code)> report_accept;
};

/// What a server has done, given by `serve`.
struct serve_result {
  std::size_t served = 0;   ///< connections handed to the handler, those cut off included
  std::size_t refused = 0;  ///< connections that were one too many
  std::size_t cut_off = 0;  ///< connections that had not ended within the grace time
};

namespace detail {

struct stop_signals;

/// Lets one report through each second: clients who can make something fail are not to fill a log,
/// or a pipe that nobody reads. Thread safe.
class once_a_second {
 public:
  [[nodiscard]] bool is_due() noexcept;

 private:
  std::atomic<clock::duration> last_ = clock::duration(std::chrono::seconds(-1));
};
class serve_member;

/// What a server, its connections and whoever stops it share.
class serve_state {
 public:
  /** @param listening Whether there is an acceptor that could accept anybody.
   * @throws std::bad_alloc, std::invalid_argument */
  serve_state(start_place place, serve_options options, bool listening);
  ~serve_state();

  [[nodiscard]] const start_place& place() const noexcept { return place_; }
  [[nodiscard]] const serve_options& options() const noexcept { return options_; }
  /// Done when connections are to end by themselves.
  [[nodiscard]] const context& stopping() const noexcept { return stopping_.ctx; }
  /// Done when they are cut off.
  [[nodiscard]] const context& cut() const noexcept { return cut_.ctx; }

  /// What to do about an error of accept.
  enum class advice { again, later, never };
  [[nodiscard]] advice accept_failed(const error_code& e);

  /// Tells the user of the exception that is being handled, unless the server itself has caused it.
  void connection_failed();

  /// Waits for the end of the server: for a signal, the acceptor's end, or its own cancellation.
  [[nodiscard]] static task<> supervise(std::shared_ptr<serve_state> self);

  /// There is one more connection.
  /** @return For how many descriptors the reactor is to be prepared, because there have never been
   * so many connections. */
  [[nodiscard]] std::size_t descriptors_to_prepare() noexcept;
  /// There is one less, as soon as its handler's memory has been freed.
  void connection_ends();
  /// Gives memory back when connections have gone, until the server stops.
  [[nodiscard]] static task<> give_memory_back(serve_member self);

  wait_group accepting;
  wait_group connections;
  wait_group handlers;
  std::optional<semaphore> slots;
  // Written by the goroutine that accepts, and by the one that supervises when that has ended.
  serve_result result;
  error_code failure;

 private:
  template <class Function>
  void call_user(Function f);

  const start_place place_;
  const serve_options options_;
  const cancellable_context cut_;
  const cancellable_context stopping_;
  const std::unique_ptr<stop_signals> signals_;
  /// Why it cannot begin.
  error_code no_begin_;
  once_a_second accept_reports_;
  once_a_second connection_lines_;
  /// How many connections the reactor is prepared for. Of the goroutine that accepts.
  std::ptrdiff_t prepared_ = 0;
  /// How many there have been since memory was given back.
  std::atomic<std::ptrdiff_t> most_ = 0;
  const channel<void> many_have_gone_ = make_channel<void>(1);
};

/// Counts something of a server until it is destroyed.
class serve_member {
 public:
  serve_member(std::shared_ptr<serve_state> s, wait_group serve_state::*where)
      : state_(std::move(s)), where_(where) {
    (state_.get()->*where_).add();
  }
  serve_member(serve_member&&) noexcept = default;
  serve_member& operator=(serve_member&&) = delete;
  ~serve_member() {
    if (!state_) return;
    if (where_ == &serve_state::connections) state_->connection_ends();
    (state_.get()->*where_).done();
  }
  [[nodiscard]] const std::shared_ptr<serve_state>& state() const noexcept { return state_; }

 private:
  std::shared_ptr<serve_state> state_;
  wait_group serve_state::*where_;
};

}  // namespace detail

/// A connection's place in its server. Move-only: the connection has ended when this is destroyed.
/**
 * What a handler of `serve` gets with its socket. One that works with callbacks keeps it as long as
 * the connection lasts; a coroutine just lets it be destroyed with its parameters.
 *
 * @par Thread safety
 * Distinct objects: safe.
 */
class server_connection {
 public:
  /// Used by `serve`.
  server_connection(std::shared_ptr<detail::serve_state> s, semaphore::permit slot)
      : member_(std::move(s), &detail::serve_state::connections), slot_(std::move(slot)) {}

  /// Done when the connection is cut off. The handler's goroutine is bound to it.
  [[nodiscard]] const context& ctx() const noexcept { return member_.state()->cut(); }
  /// Done when the server begins to stop: the connection should end when it can.
  [[nodiscard]] const context& stopping() const noexcept { return member_.state()->stopping(); }

 private:
  // Destroyed in the opposite order: the server may end as soon as the member is gone.
  detail::serve_member member_;
  semaphore::permit slot_;
};

namespace detail {

/// What a look at a socket says about its peer.
enum class peer { there, has_ended_its_stream, gone };
[[nodiscard]] peer look_at_peer(int descriptor) noexcept;

/// What a watch and its goroutine share, on the strand of the socket.
class peer_watch_state {
 public:
  peer_watch_state(const context& parent, clock::duration after)
      : patience(after), tree_(with_cancel(parent)) {}

  /// Done when the peer has gone.
  [[nodiscard]] const context& ctx() const noexcept { return tree_.ctx; }
  void peer_has_gone() const { tree_.cancel(); }

  /// Nobody wants to know any more, and the socket may go at once: what waits for it is cancelled
  /// here and now. A request that is posted, as that of a context is, would come too late.
  void end() {
    ended_ = true;
    signal_.emit(asio::cancellation_type::terminal);
  }
  [[nodiscard]] bool ended() const noexcept { return ended_; }
  /// A handler of what `end` cancels.
  template <class Executor, class Function>
  [[nodiscard]] auto until_end(const Executor& strand, Function f) {
    return asio::bind_cancellation_slot(signal_.slot(), asio::bind_executor(strand, std::move(f)));
  }

  const clock::duration patience;

 private:
  const cancellable_context tree_;
  asio::cancellation_signal signal_;
  bool ended_ = false;
};

template <class Executor, class Socket>
void watch_peer(const std::shared_ptr<peer_watch_state>& s, const Executor& strand,
                Socket& socket) {
  auto look = [s, strand, &socket](error_code error) {
    if (s->ended()) return;
    const peer found = error ? peer::gone : detail::look_at_peer(socket.native_handle());
    if (found == peer::gone) return s->peer_has_gone();
    // There is something to be read, which is the handler's business: the end may come after it.
    const bool is_there = found == peer::there;
    auto go_on = [s, strand, &socket, is_there](error_code) {
      if (s->ended()) return;
      if (is_there)
        detail::watch_peer(s, strand, socket);
      else
        s->peer_has_gone();
    };
    sleep_for(is_there ? clock::duration(std::chrono::milliseconds(50))
                       : s->patience)(s->until_end(strand, std::move(go_on)));
  };
  socket.async_wait(asio::socket_base::wait_read, s->until_end(strand, std::move(look)));
}

}  // namespace detail

/// A context that is done when the peer of a socket has gone, as long as this exists.
/**
 * For work that nobody needs when the client does not wait for it any more. A peer that has reset
 * the connection has gone; one that has ended its stream may still listen, and is taken for gone
 * some time later. Nothing is read from the socket.
 *
 * @par Thread safety
 * Made, used and destroyed on the strand on which the socket is used, and destroyed before the
 * socket.
 *
 * @code
 * sluice::peer_watch peer(co_await asio::this_coro::executor, c.ctx(), socket, 500ms);
 * const auto v = co_await sluice::select(work(), peer.ctx().done());
 * @endcode
 */
class peer_watch {
 public:
  /// @param strand Where the socket is used: the goroutine's `this_coro::executor`.
  /// @param parent When it is done, the context is.
  /// @param after How long a peer may go on listening when it has ended its stream.
  /// @throws std::bad_alloc
  template <class Executor, class Socket>
  requires asio::execution::is_executor<Executor>::value peer_watch(const Executor& strand,
                                                                    const context& parent,
                                                                    Socket& socket,
                                                                    clock::duration after)
      : state_(std::make_shared<detail::peer_watch_state>(parent, after)) {
    detail::watch_peer(state_, strand, socket);
  }
  peer_watch(const peer_watch&) = delete;
  peer_watch& operator=(const peer_watch&) = delete;
  ~peer_watch() { state_->end(); }

  [[nodiscard]] const context& ctx() const noexcept { return state_->ctx(); }

 private:
  const std::shared_ptr<detail::peer_watch_state> state_;
};

namespace detail {

/// What stands for a function that refuses, where there is none.
struct no_refusal {};

template <class Handler, class Socket>
concept connection_handler = std::invocable<Handler&, Socket, server_connection> ||
    std::invocable<Handler&, Socket, context> || std::invocable<Handler&, Socket>;

template <class Handler, class Socket>
decltype(auto) call_connection_handler(Handler& f, Socket socket, server_connection& c) {
  if constexpr (std::invocable<Handler&, Socket, server_connection>)
    return std::invoke(f, std::move(socket), std::move(c));
  else if constexpr (std::invocable<Handler&, Socket, context>)
    return std::invoke(f, std::move(socket), c.ctx());
  else
    return std::invoke(f, std::move(socket));
}

#if defined(BOOST_ASIO_HAS_POSIX_STREAM_DESCRIPTOR)

/// A file that cannot be polled, and so can be registered with a reactor any number of times.
class unpollable_file {
 public:
  unpollable_file() noexcept;
  unpollable_file(const unpollable_file&) = delete;
  unpollable_file& operator=(const unpollable_file&) = delete;
  ~unpollable_file();
  /// Negative if there is none.
  [[nodiscard]] int descriptor() const noexcept { return descriptor_; }

 private:
  const int descriptor_;
};

/// Has the reactor make what it needs for `n` descriptors, in one piece.
/**
 * It makes such a small object whenever there are more descriptors than ever, and keeps it for
 * ever: each, between what the connections have allocated, would keep a page or two of that.
 */
template <class Executor>
void prepare_descriptors(const Executor& ex, std::size_t n) {
  struct registration {
    explicit registration(const Executor& e) : object(e) {}
    registration(const registration&) = delete;
    registration& operator=(const registration&) = delete;
    ~registration() {
      if (object.is_open()) object.release();
    }
    asio::posix::basic_stream_descriptor<Executor> object;
  };
  const unpollable_file file;
  if (file.descriptor() < 0) return;
  std::vector<std::optional<registration>> all(n);
  error_code failed;
  for (auto& r : all)
    if (!failed) r.emplace(ex).object.assign(file.descriptor(), failed);
}

#else

template <class Executor>
void prepare_descriptors(const Executor&, std::size_t) {}

#endif

// The handler's own member goes before this coroutine does: `alive` holds the server, and with it
// the handler, until the exception has been reported.
template <class Handler, class Socket>
task<> run_connection(serve_member alive, server_connection c, Socket socket, Handler& f) {
  try {
    using given = decltype(detail::call_connection_handler(f, std::move(socket), c));
    if constexpr (is_task<given> || is_awaitable<given>)
      co_await detail::call_connection_handler(f, std::move(socket), c);
    else
      detail::call_connection_handler(f, std::move(socket), c);
  } catch (...) {
    alive.state()->connection_failed();
  }
}

template <class Acceptor, class Handler, class Refuse>
task<> accept_one_after_another(serve_state& s, const std::shared_ptr<serve_state>& shared,
                                Acceptor& acceptor, Handler& f, Refuse& refuse,
                                std::source_location location) {
  constexpr auto as_result = asio::as_tuple(use_task);
  constexpr bool refuses = !std::is_same_v<Refuse, no_refusal>;
  while (!s.stopping().err()) {
    error_code failed;
    try {
      semaphore::permit slot;
      if constexpr (!refuses)
        if (s.slots) slot = co_await s.slots->acquire();
      auto [error, socket] = co_await acceptor.async_accept(as_result);
      if (error) {
        failed = error;
      } else if (refuses && s.slots && !(slot = s.slots->try_acquire())) {
        ++s.result.refused;
        if constexpr (refuses) std::invoke(refuse, std::move(socket));
      } else {
        auto body = detail::run_connection(serve_member(shared, &serve_state::handlers),
                                           server_connection(shared, std::move(slot)),
                                           std::move(socket), f);
        if (const std::size_t n = s.descriptors_to_prepare())
          detail::prepare_descriptors(acceptor.get_executor(), n);
        new_goroutine g(s.place(), std::move(body), false, location);
        if (g) {
          detail::bind_to_context(*g, s.cut());
          ++s.result.served;
          g.start();
        }
      }
    } catch (const std::bad_alloc&) {
      failed = asio::error::no_memory;
    } catch (const system_error&) {
      // The wait for a place ends so when the server stops.
      if (!s.stopping().err()) s.connection_failed();
    } catch (...) {
      s.connection_failed();
    }
    if (!failed) continue;
    if (!acceptor.is_open()) break;
    const auto advice = s.accept_failed(failed);
    if (advice == serve_state::advice::never) break;
    if (advice == serve_state::advice::later)
      co_await sleep_for(std::chrono::milliseconds(100))(as_result);
  }
}

template <class Acceptor, class Handler, class Refuse>
task<> accept_connections(serve_member self, Acceptor& acceptor, Handler& f, Refuse& refuse,
                          std::source_location location) {
  serve_state& s = *self.state();
  try {
    co_await detail::accept_one_after_another(s, self.state(), acceptor, f, refuse, location);
  } catch (...) {
    // Not even what has failed could be told.
    s.failure = asio::error::no_memory;
  }
  error_code ignored;
  acceptor.close(ignored);
}

// The handler is kept until the last connection has ended.
template <class Acceptor, class Handler, class Refuse>
task<> serve_until_stopped(std::shared_ptr<serve_state> s, Acceptor& acceptor, Handler f,
                           Refuse refuse, std::source_location location) {
  auto body = detail::accept_connections(serve_member(s, &serve_state::accepting), acceptor, f,
                                         refuse, location);
  detail::start_in_context(s->stopping(), s->place(), std::move(body), false, location);
  if (s->options().give_memory_back)
    detail::start_in_context(s->stopping(), s->place(),
                             serve_state::give_memory_back(serve_member(s, &serve_state::handlers)),
                             false, location);
  co_await serve_state::supervise(s);
}

template <class Completion>
task<> run_server(std::shared_ptr<serve_state> s, task<> body, boxed_handler<Completion> handler) {
  try {
    co_await std::move(body);
  } catch (const std::bad_alloc&) {
    s->failure = asio::error::no_memory;
  }
  const error_code failure = s->failure;
  const serve_result result = s->result;
  s.reset();
  boxed_handler<Completion>::complete(std::move(handler), failure, result);
}

template <class Acceptor, class Handler, class Refuse>
auto serve(Acceptor& acceptor, serve_options options, Handler&& f, Refuse&& refuse,
           std::source_location location) {
  static_assert(safe_in_co_await_expression<Handler> && safe_in_co_await_expression<Refuse>,
                "g++ 12 copies a closure with non-trivial captures bitwise inside a co_await "
                "expression and destroys it twice: capture by reference, or name the closure first "
                "and pass the name");
  start_place place = detail::place_of(acceptor.get_executor());
  auto where = place.where;
  return asio::async_initiate<const use_task_t, void(error_code, serve_result)>(
      initiation(
          std::move(where),
          [place = std::move(place), &acceptor, location](auto handler, serve_options o,
                                                          auto&& serving, auto&& refusing) {
            auto s = std::make_shared<serve_state>(place, std::move(o), acceptor.is_open());
            boxed_handler<decltype(handler)> box(std::move(handler), executor(place.where));
            auto slot = box.slot();
            auto body =
                detail::serve_until_stopped<Acceptor, std::decay_t<Handler>, std::decay_t<Refuse>>(
                    s, acceptor, std::forward<decltype(serving)>(serving),
                    std::forward<decltype(refusing)>(refusing), location);
            new_goroutine g(place, detail::run_server(s, std::move(body), std::move(box)), false,
                            location);
            if (!g) return;
            const auto cancel = (*g).become_cancellable();
            cancel->reset(asio::cancellation_type::all);
            if (slot.is_connected()) slot.template emplace<goroutine_canceller>(cancel);
            g.start();
          }),
      use_task, std::move(options), std::forward<Handler>(f), std::forward<Refuse>(refuse));
}

}  // namespace detail

/// Accepts connections and has each handled by a goroutine of its own, until it is stopped.
/**
 * An Asio operation: awaited it gives a `serve_result`; with a token its signature is
 * `void(error_code, serve_result)`; `timeout` limits it, and it is a case of `select`, as
 * `on(serve(…), f, lost)`: if another case happens it stops, and `lost(error_code, serve_result)`
 * is told its result. The goroutines run, and the handler of a token by default too, on the
 * acceptor's executor.
 *
 * @param acceptor An `asio::ip::tcp::acceptor`, a local one, one with an executor of one's own:
 * listening, and used by nobody else until the operation has completed. It is closed when the
 * server stops.
 * @param handler Called for every connection, with its socket and, if it takes one, a
 * `server_connection`, or else a `context` (that one's `ctx()`). It gives a `task` or an
 * `asio::awaitable`, and the connection has ended when that has; or nothing, and the connection
 * ends when its `server_connection` is destroyed. Kept until the last connection has ended; called
 * by several threads at the same time if several run the context. A goroutine is a strand; a
 * connection of callbacks has one of its own then, `asio::make_strand(socket.get_executor())`, for
 * all its handlers.
 * @param refuse Called with the socket of a connection that is one too many; it does not block.
 *
 * When nobody can be accepted, because descriptors or memory have run out, it tries again ten times
 * a second. An exception that leaves `handler` is reported and ends that connection only.
 *
 * @par Stopping
 * By a signal of the options, by cancellation, or by closing the acceptor on its strand: nobody is
 * accepted any more, and `server_connection::stopping()` is done. Connections that have not ended
 * within the grace time, or when a second signal or a second request for cancellation comes, are
 * cut off: every wait of their goroutines ends with `asio::error::operation_aborted`. The operation
 * completes when the last has ended; one that ignores that it has been cut off holds it up for
 * ever. Signals have their default effect again after the second: the third ends the program.
 *
 * @par Cancellation
 * Any type stops the server, which is no error: the result says what it has done. Requests that
 * come before the server has seen the first are one with it.
 *
 * @par Errors
 * What is wrong with the acceptor (it is not open, or does not listen) or with the signals, when
 * the connections have ended; `asio::error::no_memory`.
 *
 * @par Thread safety
 * Distinct acceptors: safe.
 *
 * @code
 * sluice::serve_options options;
 * options.max_connections = 1000;
 * options.signals = {SIGINT, SIGTERM};
 * const auto result = co_await sluice::serve(acceptor, options,
 *     [&](tcp::socket socket, sluice::context) { return echo(std::move(socket)); });
 * @endcode
 */
template <class Acceptor, class Handler>
requires detail::connection_handler < std::decay_t<Handler>,
typename Acceptor::protocol_type::socket::template rebind_executor<
    typename Acceptor::executor_type>::other >
    [[nodiscard("co_await it, or give it a completion token")]] auto serve(
        Acceptor& acceptor, serve_options options, Handler&& handler,
        std::source_location location = std::source_location::current()) {
  return detail::serve(acceptor, std::move(options), std::forward<Handler>(handler),
                       detail::no_refusal(), location);
}
template <class Acceptor, class Handler, class Refuse>
requires detail::connection_handler < std::decay_t<Handler>,
typename Acceptor::protocol_type::socket::template rebind_executor<
    typename Acceptor::executor_type>::other >
    &&std::invocable<
        std::decay_t<Refuse>&,
        typename Acceptor::protocol_type::socket::
            template rebind_executor<typename Acceptor::executor_type>::other> [[nodiscard(
        "co_await it, or give it a completion token")]] auto
    serve(Acceptor& acceptor, serve_options options, Handler&& handler, Refuse&& refuse,
          std::source_location location = std::source_location::current()) {
  return detail::serve(acceptor, std::move(options), std::forward<Handler>(handler),
                       std::forward<Refuse>(refuse), location);
}

}  // namespace sluice
