#pragma once

#include <sluice/detail/base/handler_arguments.hpp>
#include <sluice/detail/base/outstanding_work.hpp>
#include <sluice/detail/executor/make_target.hpp>
#include <sluice/detail/executor/pinned_wake.hpp>
#include <sluice/detail/executor/post_by.hpp>
#include <sluice/detail/goroutine/goroutine.hpp>
#include <sluice/detail/operation/initiation.hpp>
#include <sluice/detail/scheduler/registered.hpp>
#include <sluice/detail/scheduler/scheduler.hpp>
#include <sluice/detail/scheduler/scheduler_link.hpp>
#include <sluice/detail/task/bound_call.hpp>
#include <sluice/error.hpp>
#include <sluice/executor.hpp>
#include <sluice/task.hpp>

#include <boost/asio/associated_allocator.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>

#include <concepts>
#include <exception>
#include <functional>
#include <memory>
#include <new>
#include <optional>
#include <source_location>
#include <tuple>
#include <type_traits>
#include <utility>

namespace sluice {

class context;

/// A place whose goroutines are outstanding work only while they can run by themselves.
/** Made by `untracked(where)`. */
class untracked_place {
 public:
  explicit untracked_place(detail::target_ptr where) noexcept : where_(std::move(where)) {}
  [[nodiscard]] const detail::target_ptr& where() const noexcept { return where_; }

 private:
  detail::target_ptr where_;
};

namespace detail {

template <class T>
inline constexpr bool is_task = false;
template <class T>
inline constexpr bool is_task<task<T>> = true;

template <class T>
inline constexpr bool is_awaitable = false;
template <class T, class Executor>
inline constexpr bool is_awaitable<asio::awaitable<T, Executor>> = true;

/// What starting a `T`, or what calling it returned, gives: the task's, awaitable's or plain
/// result.
template <class T>
struct result_of_start {
  using type = T;
};
template <class T>
struct result_of_start<task<T>> {
  using type = T;
};
template <class T, class Executor>
struct result_of_start<asio::awaitable<T, Executor>> {
  using type = T;
};

/// A task, an awaitable, or a callable without arguments.
template <class T>
concept startable = is_task<std::remove_cvref_t<T>> || is_awaitable<std::remove_cvref_t<T>> ||
                    std::invocable < std::decay_t<T>
& > ;

template <class What>
struct start_traits {};
template <class What>
requires(std::invocable<What&> && !is_task<What> && !is_awaitable<What>) struct start_traits<What> {
  using type = std::invoke_result_t<What&>;
};
template <class What>
requires(is_task<What> || is_awaitable<What>) struct start_traits<What> {
  using type = What;
};

/// What kind of thing runs when a `What` is started.
template <class What>
using started_t = typename start_traits<std::decay_t<What>>::type;
template <class What>
using result_of_start_t = typename result_of_start<started_t<What>>::type;

template <class T>
concept execution_context_like = std::derived_from<T, asio::execution_context> && requires(T& c) {
  c.get_executor();
};

template <class T>
concept place_to_start =
    execution_context_like<std::remove_cvref_t<T>> || has_execution_context<std::remove_cvref_t<T>>;

/// The same, or `untracked(...)` of one.
template <class T>
concept place_to_go = place_to_start<T> || std::same_as<std::remove_cvref_t<T>, untracked_place>;

/// Calls `f` and awaits what it returns; `f` lives in this coroutine's frame until then.
template <class F, class T>
task<T> call_and_await(F f) {
  co_return co_await std::invoke(f);
}
template <class F, class T>
task<T> call_plainly(F f) {
  if constexpr (std::is_void_v<T>) {
    std::invoke(f);
    co_return;
  } else {
    co_return std::invoke(f);
  }
}

/// The task that runs a `What`.
template <class What>
[[nodiscard]] auto make_task(What&& what) {
  using decayed = std::decay_t<What>;
  using result = result_of_start_t<What>;
  static_assert(!is_task<decayed> || !std::is_lvalue_reference_v<What>,
                "a task is started by its owner: go(std::move(task))");
  if constexpr (is_task<decayed>)
    return task<result>(std::forward<What>(what));
  else if constexpr (is_awaitable<decayed>)
    return detail::await_awaitable(std::forward<What>(what));
  else if constexpr (is_task<started_t<What>> || is_awaitable<started_t<What>>)
    return detail::call_and_await<decayed, result>(std::forward<What>(what));
  else
    return detail::call_plainly<decayed, result>(std::forward<What>(what));
}

/// Whether it runs on an explicit strand from the start.
template <class What>
inline constexpr bool starts_serial = !is_task<started_t<What>>;

/// Where to start, and whether the goroutine counts as work all its life.
struct start_place {
  target_ptr where;
  bool counts_as_work = true;
};

template <class Where>
[[nodiscard]] start_place place_of(Where&& where) {
  if constexpr (std::same_as<std::remove_cvref_t<Where>, untracked_place>)
    return {where.where(), false};
  else if constexpr (execution_context_like<std::remove_cvref_t<Where>>)
    return {detail::target_of(where.get_executor())};
  else
    return {detail::target_of(where)};
}

/// The place of the goroutine that is running.
[[nodiscard]] start_place current_place(const char* caller);

/// A goroutine that is made and not started yet. It ends with this unless it is started.
/** Until then the end of its context waits. Used by one thread, in one function. */
class new_goroutine {
 public:
  /// Takes over the frame. Empty, and the frame destroyed, if its context is ending.
  /** @throws std::bad_alloc; the frame is destroyed then. */
  new_goroutine(start_place place, std::coroutine_handle<> frame, promise_base& root, bool serial,
                std::source_location where_started);
  /// @throws std::bad_alloc; std::invalid_argument for a task that was moved from
  template <class T>
  new_goroutine(start_place place, task<T> what, bool serial, std::source_location where_started)
      : new_goroutine(std::move(place), what.release(), serial, where_started) {}
  new_goroutine(const new_goroutine&) = delete;
  new_goroutine& operator=(const new_goroutine&) = delete;
  ~new_goroutine() {
    if (g_) give_up();
  }

  explicit operator bool() const noexcept { return g_ != nullptr; }
  [[nodiscard]] goroutine& operator*() const noexcept { return *g_; }

  /// Makes it ready. It may have ended when this returns.
  /** @throws What its executor throws, if that is not a scheduler's own. */
  void start();

 private:
  template <class Promise>
  new_goroutine(start_place place, std::coroutine_handle<Promise> frame, bool serial,
                std::source_location where_started)
      : new_goroutine(std::move(place), frame, promise_of(frame), serial, where_started) {}

  template <class Promise>
  [[nodiscard]] static Promise& promise_of(std::coroutine_handle<Promise> frame) {
    if (!frame) throw std::invalid_argument("sluice: go with a task that was moved from");
    return frame.promise();
  }

  void give_up() noexcept;

  goroutine* g_ = nullptr;
  pinned_scheduler pinned_;
};

/// What is done to a goroutine before it is made ready: nothing.
struct as_it_is {
  void operator()(goroutine&) const noexcept {}
};

/// Starts a goroutine; a context that is ending destroys it instead.
/** @param prepare Called with it before it is made ready. */
template <class T, class Prepare = as_it_is>
void start(start_place place, task<T> what, bool serial, std::source_location where_started,
           const Prepare& prepare = {}) {
  new_goroutine g(std::move(place), std::move(what), serial, where_started);
  if (!g) return;
  prepare(*g);
  g.start();
}

/// The running goroutine is about to end with an exception that leaves `run()`: calls `last` when
/// the context has its next turn after that.
/** For a context that ends with the first failure, as `sluice::run`'s, that is never; `last` is
 * destroyed with it. Posted behind the end of such a context, so no thread runs it before. */
template <class F>
void after_failure(F last) {
  const goroutine& g = current_goroutine("sluice");
  g.home->one_fails();
  asio::post(g.home->event_loop_executor(*g.where), std::move(last));
}

/// Passes requests for cancellation on to a goroutine.
struct goroutine_canceller {
  cancellation_ref target;
  void operator()(asio::cancellation_type type) const noexcept { target->request(type); }
};

/// A completion handler in memory from its associated allocator, and its outstanding work.
template <class Handler>
class boxed_handler {
 public:
  boxed_handler(Handler&& handler, const executor& where) {
    typename traits::allocator_type allocator(asio::get_associated_allocator(handler));
    auto* const memory = traits::allocate(allocator, 1);
    try {
      box_ = ::new (static_cast<void*>(memory)) box(std::move(handler), where);
    } catch (...) {
      traits::deallocate(allocator, memory, 1);
      throw;
    }
  }
  boxed_handler(boxed_handler&& other) noexcept : box_(std::exchange(other.box_, nullptr)) {}
  boxed_handler& operator=(boxed_handler&&) = delete;
  // Its executor may have refused it.
  ~boxed_handler() {
    if (!box_) return;
    box_->work.reset();
    if (!pinned_wake::leave_to_end(home(), *box_)) box::free_parked(*box_);
  }

  using allocator_type = asio::associated_allocator_t<Handler>;
  [[nodiscard]] allocator_type get_allocator() const noexcept {
    return asio::get_associated_allocator(box_->handler);
  }

  /// The handler's cancellation slot. It stays where it is until the handler is taken.
  [[nodiscard]] auto slot() const noexcept {
    return asio::get_associated_cancellation_slot(box_->handler);
  }

  /// Calls the handler on its executor, when all its memory has been given back.
  /** Values that cannot be moved there make it a failure. */
  template <class Failure, class... Values>
  static void complete(boxed_handler self, Failure failure, Values&&... values) {
    const auto ex = self.box_->ex;
    asio::dispatch(ex, completion<Failure, std::decay_t<Values>...>(
                           std::move(self), failure, std::forward<Values>(values)...));
  }
  /// Calls `f` with the handler on its executor, never inside this call, when all its memory has
  /// been given back.
  /** `f` is moved on the way and does not throw there, so the handler is not lost. */
  template <class F>
  static void post(boxed_handler self, F f) {
    static_assert(std::is_nothrow_move_constructible_v<F>);
    const auto ex = self.box_->ex;
    keep_while_waking(ex);
    const executor by = self.box_->by;
    detail::post_by(by, ex, taken<F>(std::move(self), std::move(f)));
  }

  /// The scheduler whose shutdown ends what the handler runs on; null if that has no context.
  [[nodiscard]] scheduler* home() const noexcept { return box_->home; }

 private:
  using handler_executor = asio::associated_executor_t<Handler, executor>;

  struct box : parked_handler {
    box(Handler&& h, const executor& where)
        : parked_handler(&free_parked),
          handler(std::move(h)),
          by(where),
          ex(asio::get_associated_executor(handler, where)),
          home(home_of(ex)),
          work(std::in_place, ex) {}

    static scheduler* home_of([[maybe_unused]] const handler_executor& ex) {
      if constexpr (has_execution_context<handler_executor>)
        return &scheduler_of(ex);
      else
        return nullptr;
    }

    static void free_parked(parked_handler& h) noexcept {
      auto& self = static_cast<box&>(h);
      free(&self, asio::get_associated_allocator(self.handler));
    }

    Handler handler;
    executor by;
    handler_executor ex;
    scheduler* home;
    std::optional<detail::outstanding_work<handler_executor>> work;
  };
  using traits = typename std::allocator_traits<allocator_type>::template rebind_traits<box>;

  [[nodiscard]] auto completion_memory() const noexcept {
    return completion_allocator_of<handler_executor>(box_->handler);
  }

  template <class Failure, class... Values>
  class completion {
   public:
    using allocator_type = completion_allocator<Handler, handler_executor>;
    template <class... V>
    completion(boxed_handler&& h, const Failure& failure, V&&... values)
        : handler_(std::move(h)), arguments_(std::in_place, failure, std::forward<V>(values)...) {}
    [[nodiscard]] allocator_type get_allocator() const noexcept {
      return handler_.completion_memory();
    }
    void operator()() { std::apply(handler_.take(), std::move(arguments_).get()); }

   private:
    boxed_handler handler_;
    handler_arguments<Failure, Values...> arguments_;
  };

  template <class F>
  class taken {
   public:
    using allocator_type = completion_allocator<Handler, handler_executor>;
    taken(boxed_handler&& h, F&& f) noexcept : handler_(std::move(h)), function_(std::move(f)) {}
    [[nodiscard]] allocator_type get_allocator() const noexcept {
      return handler_.completion_memory();
    }
    void operator()() { std::move(function_)(handler_.take()); }

   private:
    boxed_handler handler_;
    F function_;
  };

  [[nodiscard]] Handler take() {
    if (auto s = slot(); s.is_connected()) s.clear();
    Handler h(std::move(box_->handler));
    free(std::exchange(box_, nullptr), asio::get_associated_allocator(h));
    return h;
  }

  static void free(box* b, const allocator_type& a) noexcept {
    typename traits::allocator_type allocator(a);
    traits::destroy(allocator, b);
    traits::deallocate(allocator, b, 1);
  }

  box* box_ = nullptr;
};

/// Runs `what`, then calls the handler.
template <class T, class Handler>
task<> run_for_handler(task<T> what, boxed_handler<Handler> handler) {
  std::exception_ptr failure;
  if constexpr (std::is_void_v<T>) {
    try {
      co_await std::move(what);
    } catch (...) {
      failure = std::current_exception();
    }
    boxed_handler<Handler>::complete(std::move(handler), failure);
  } else if constexpr (std::is_reference_v<T>) {
    std::remove_reference_t<T>* result = nullptr;
    try {
      result = std::addressof(co_await std::move(what));
    } catch (...) {
      failure = std::current_exception();
    }
    boxed_handler<Handler>::complete(std::move(handler), failure, result);
  } else {
    std::optional<T> result;
    try {
      result.emplace(co_await std::move(what));
    } catch (...) {
      failure = std::current_exception();
    }
    if (result)
      boxed_handler<Handler>::complete(std::move(handler), failure, *std::move(result));
    else
      boxed_handler<Handler>::complete(std::move(handler), failure, T());
  }
}

template <class T>
struct start_signature {
  using type = void(std::exception_ptr, T);
};
template <class T>
struct start_signature<T&> {
  using type = void(std::exception_ptr, T*);
};
template <>
struct start_signature<void> {
  using type = void(std::exception_ptr);
};

/// What may be told that a goroutine which runs a `What` has ended.
template <class Token, class What>
concept start_token =
    asio::completion_token_for<Token, typename start_signature<result_of_start_t<What>>::type>;

/// A function, arguments for it, and last a completion token: what it cannot be called with.
template <class F, class... Args>
concept function_with_and_token =
    (given<Args...> > 1) &&
    !function_with<F, Args...> && takes_first<given<Args...> - 1, F, Args...> &&
    start_token<last_given<Args...>, bound_call_before_token_t<F, Args...>>;

/// What `go` without a place or a context first cannot start.
template <class What, class... Rest>
concept not_to_be_started =
    !place_to_go<What> && !std::same_as<std::remove_cvref_t<What>, context> &&
    !function_with<What, Rest...> &&
    (sizeof...(Rest) != 0 ? !(std::same_as<std::remove_cvref_t<Rest>, std::source_location> || ...)
                          : !startable<What>);

/// @param prepare Called with the goroutine before it is made ready.
template <class What, class Token, class Prepare = as_it_is>
auto start_with_token(start_place place, What&& what, Token&& token,
                      std::source_location where_started, Prepare prepare = {}) {
  using result = result_of_start_t<What>;
  static_assert(
      std::is_void_v<result> || std::is_default_constructible_v<result>,
      "the result of a goroutine with a completion token is default-constructible, because "
      "void(exception_ptr, T) carries one beside an exception");
  return asio::async_initiate<Token, typename start_signature<result>::type>(
      initiation(place.where,
                 [where_started, prepare](auto handler, start_place p, auto&& w) {
                   boxed_handler<decltype(handler)> box(std::move(handler), executor(p.where));
                   auto slot = box.slot();
                   auto body = detail::run_for_handler<result>(
                       detail::make_task(std::forward<decltype(w)>(w)), std::move(box));
                   new_goroutine g(std::move(p), std::move(body), starts_serial<What>,
                                   where_started);
                   if (!g) return;
                   if (slot.is_connected())
                     slot.template emplace<goroutine_canceller>((*g).become_cancellable());
                   prepare(*g);
                   g.start();
                 }),
      token, std::move(place), std::forward<What>(what));
}

/// Starts `f` with the arguments that are given, the last of which may be a completion token.
template <class Prepare, class F, class... Args>
auto start_call(start_place place, std::source_location where_started, const Prepare& prepare,
                F&& f, Args&&... args) {
  if constexpr (function_with<F, Args...>) {
    auto call = detail::bind_given(std::forward<F>(f), std::forward<Args>(args)...);
    constexpr bool serial = starts_serial<decltype(call)>;
    detail::start(std::move(place), detail::make_task(std::move(call)), serial, where_started,
                  prepare);
  } else {
    constexpr auto before = given<Args...> - 1;
    auto& token = std::get<before>(std::tie(args...));
    return detail::start_with_token(
        std::move(place),
        detail::bind_call<before>(std::forward<F>(f), std::forward<Args>(args)...),
        std::forward<last_given<Args...>>(token), where_started, prepare);
  }
}

}  // namespace detail

/// Lets goroutines started at `where` be outstanding work only while they are ready, running,
/// sleeping or awaiting an Asio operation, not while they are parked.
/**
 * `io_context::run` then returns when all that is left is parked. For programs that find deadlocks
 * that way, as `sluice::run` does; a foreign thread that will wake one holds a `work_guard`.
 *
 * @param where An executor or an execution context.
 */
template <detail::place_to_start Where>
[[nodiscard]] untracked_place untracked(Where&& where) {
  return untracked_place(detail::place_of(where).where);
}

/// Starts a goroutine.
/**
 * Go's `go` statement. The goroutine runs beside the caller, never inside this call; it is a strand
 * over `where`: its steps never overlap. If `where` is a strand, that is the goroutine's own,
 * shared with all that runs on it.
 *
 * @param where An executor or an execution context (`io_context`, `thread_pool`, a strand,
 * `any_io_executor`, one of your own that has an execution context), or `untracked(...)` of one.
 * @param what A `task`; or a callable without arguments that returns a task, an `asio::awaitable`
 * or a plain value. The callable is moved or copied and kept until the goroutine ends. Plain
 * callables and awaitables run on an explicit strand.
 *
 * An exception that leaves the goroutine leaves the context's `run()`, which may be called again;
 * other goroutines are unharmed. If it is one of the standard library's or a `system_error`, it has
 * then the same type and a text that says which goroutine's it was and where that was started. It ends there if it is only what the end of the `sluice::context`
 * that the goroutine is bound to gave its waits: that error or `operation_aborted`, once it is
 * done.
 *
 * @par Outstanding work
 * The goroutine is work of its context until it ends.
 *
 * @par Shutdown
 * A context that is destroyed destroys its goroutines, youngest first.
 *
 * @throws std::bad_alloc; std::invalid_argument for a task that was moved from; what moving the
 * callable throws.
 *
 * @par Thread safety
 * Safe.
 *
 * @code
 * sluice::go(io, [&]() -> sluice::task<> { co_await ch.send(42); });
 * @endcode
 */
template <detail::place_to_go Where, detail::startable What>
void go(Where&& where, What&& what,
        std::source_location location = std::source_location::current()) {
  detail::start(detail::place_of(where), detail::make_task(std::forward<What>(what)),
                detail::starts_serial<What>, location);
}

/// Starts a goroutine beside the one that is running, on the same scheduler.
/**
 * As `go(where, what)`. Works while a task's body runs. The new goroutine is a strand of its own,
 * as one of Go's: also when the running one was started on a strand it is not on that, but on what
 * the strand was made over, and may run at the same time. Two that must not share their strand by
 * name:
 * @code
 * const auto strand = co_await asio::this_coro::executor;
 * sluice::go(strand, part);
 * @endcode
 *
 * @throws system_error `error::not_in_goroutine` elsewhere.
 */
template <detail::startable What>
void go(What&& what, std::source_location location = std::source_location::current()) {
  detail::start(detail::current_place("sluice::go"), detail::make_task(std::forward<What>(what)),
                detail::starts_serial<What>, location);
}

/// Starts a goroutine and tells a completion token when it has ended.
/**
 * @param token Any completion token; its signature is `void(std::exception_ptr)` or, for a result
 * `T` other than void, `void(std::exception_ptr, T)`. The handler runs on its associated executor,
 * by default the goroutine's. `T` is default-constructible; a reference is given as a pointer.
 */
template <detail::place_to_go Where, detail::startable What, detail::start_token<What> Token>
requires(!detail::function_with<What, Token>) auto go(
    Where&& where, What&& what, Token&& token,
    std::source_location location = std::source_location::current()) {
  return detail::start_with_token(detail::place_of(where), std::forward<What>(what),
                                  std::forward<Token>(token), location);
}

/// Starts a goroutine that calls `f` with copies of the arguments. Go's `go f(x, y)`.
/**
 * As `go([=] { return f(x, y); })`: function and arguments are moved or copied by this call, kept
 * until the goroutine ends, and given to `f` as rvalues, once. `std::ref(x)` refers to x instead.
 * `f` may be a coroutine lambda with captures, or a member function, whose object comes first: a
 * copy, a pointer, or `std::ref`. At most six arguments.
 * @code
 * sluice::go(worker, 1, jobs, results);
 * sluice::go(&server::run, &s);
 * @endcode
 */
template <class F, class A1, class A2 = detail::absent, class A3 = detail::absent,
          class A4 = detail::absent, class A5 = detail::absent, class A6 = detail::absent>
requires detail::function_with<F, A1, A2, A3, A4, A5, A6>
void go(F&& f, A1&& a1, A2&& a2 = {}, A3&& a3 = {}, A4&& a4 = {}, A5&& a5 = {}, A6&& a6 = {},
        std::source_location location = std::source_location::current()) {
  detail::start_call(detail::current_place("sluice::go"), location, detail::as_it_is(),
                     std::forward<F>(f), std::forward<A1>(a1), std::forward<A2>(a2),
                     std::forward<A3>(a3), std::forward<A4>(a4), std::forward<A5>(a5),
                     std::forward<A6>(a6));
}
/// The same on an executor or execution context, and with a completion token as `go(where, what,
/// token)`: the last argument is one if `f` cannot be called with it.
template <detail::place_to_go Where, class F, class A1, class A2 = detail::absent,
          class A3 = detail::absent, class A4 = detail::absent, class A5 = detail::absent,
          class A6 = detail::absent>
requires(detail::function_with<F, A1, A2, A3, A4, A5, A6> ||
         detail::function_with_and_token<F, A1, A2, A3, A4, A5,
                                         A6>) auto go(Where&& where, F&& f, A1&& a1, A2&& a2 = {},
                                                      A3&& a3 = {}, A4&& a4 = {}, A5&& a5 = {},
                                                      A6&& a6 = {},
                                                      std::source_location location =
                                                          std::source_location::current()) {
  return detail::start_call(detail::place_of(where), location, detail::as_it_is(),
                            std::forward<F>(f), std::forward<A1>(a1), std::forward<A2>(a2),
                            std::forward<A3>(a3), std::forward<A4>(a4), std::forward<A5>(a5),
                            std::forward<A6>(a6));
}

/// Refuses what cannot be called with these arguments; the compiler shows the line.
template <class What, class... Rest>
requires detail::not_to_be_started<What, Rest...>
void go(What&&, Rest&&...) = delete;  // go(f, arguments...), go(task), after a place or a context.

}  // namespace sluice
