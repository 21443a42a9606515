#!/bin/bash
# Mistakes that must not compile, and what the compiler is to say about them. The compiler and its
# options are those of this tree.
set -euo pipefail
commands=$SLUICE_EXAMPLES_DIR/../compile_commands.json
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The command that compiles an example, without its output and its source.
command=$(sed -n 's/^ *"command": "\(.* -c [^"]*examples\/message\.cpp\)".*/\1/p' "$commands" | head -n 1)
command=${command//\\\"/\"}
read -r -a words <<<"$command"
compiler=()
for ((i = 0; i < ${#words[@]}; ++i)); do
  case ${words[i]} in
    */ccache) ;;
    -o | -MT | -MF | -c) i=$((i + 1)) ;;
    -MD | -fsanitize=*) ;;
    *) compiler+=("${words[i]}") ;;
  esac
done

cat >"$work/select.cpp" <<'END'
#include <sluice/abandon.hpp>
#include <sluice/channel.hpp>
#include <sluice/select.hpp>
#include <sluice/timeout.hpp>
#include <sluice/timer.hpp>

#include <boost/asio/deferred.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <future>
#include <string>

sluice::task<> use(sluice::channel<int> ch, boost::asio::steady_timer& timer,
                   [[maybe_unused]] boost::asio::signal_set& signals) {
#if defined(RIGHT)
  co_await sluice::select(ch.receive(), timer.async_wait(boost::asio::deferred));
  co_await sluice::select(ch.receive(), sluice::otherwise([] {}));
  co_await sluice::select(sluice::on(timer.async_wait(boost::asio::deferred), [] {}));
  co_await sluice::select(
      sluice::on(signals.async_wait(boost::asio::deferred), [](int) {}, sluice::drop_lost));
#elif defined(NOTHING_SAYS_WHAT_IS_LOST)
  co_await sluice::select(sluice::on(signals.async_wait(boost::asio::deferred), [](int) {}));
#elif defined(LOST_IS_SOMETHING_ELSE)
  co_await sluice::select(
      sluice::on(signals.async_wait(boost::asio::deferred), [](int) {}, [](int) {}));
#elif defined(NOTHING_CAN_BE_LOST)
  co_await sluice::select(sluice::on(ch.receive(), [] {}, [](int) {}));
#elif defined(ASIO_BESIDE_OTHERWISE)
  co_await sluice::select(timer.async_wait(boost::asio::deferred), sluice::otherwise([] {}));
#elif defined(TWO_OTHERWISES)
  co_await sluice::select(sluice::otherwise([] {}), sluice::otherwise([] {}));
#elif defined(SELECT_OF_A_CHANNEL)
  co_await sluice::select(ch, ch);
#elif defined(SELECT_OF_A_TASK)
  co_await sluice::select(use(ch, timer, signals), ch.receive());
#elif defined(HANDLER_TAKES_SOMETHING_ELSE)
  co_await sluice::select(sluice::on(ch.receive(), [](std::string) {}));
#elif defined(TIMEOUT_OF_A_TASK)
  co_await sluice::timeout(use(ch, timer, signals), std::chrono::seconds(1));
#elif defined(AWAITED_CHANNEL)
  co_await ch;
#elif defined(AWAITED_FUTURE)
  std::future<int> f;
  co_await f;
#elif defined(AWAITED_TASK_OF_SOMEBODY_ELSE)
  auto t = use(ch, timer, signals);
  co_await t;
#elif defined(AWAITED_NUMBER)
  co_await 5;
#elif defined(RECEIVE_NOT_AWAITED)
  ch.receive();
#elif defined(TASK_NOT_AWAITED)
  use(ch, timer, signals);
#elif defined(ABANDONED_WITHOUT_ERROR)
  co_await sluice::abandon(boost::asio::post(timer.get_executor(), boost::asio::deferred));
#endif
}
END

failed=0
# expect WHAT [MESSAGE]: with this macro it compiles, or does not compile and says this.
expect() {
  local status=0
  "${compiler[@]}" -fsyntax-only "-D$1" "$work/select.cpp" >"$work/log" 2>&1 || status=$?
  if (($# == 1)); then
    ((status == 0)) && return
    echo "$1 does not compile:"
  else
    if ((status != 0)) && grep -qF -- "$2" <(head -n 20 "$work/log"); then return; fi
    echo "$1 compiles, or the compiler does not say \"$2\" in its first lines:"
  fi
  cat "$work/log"
  failed=1
}

expect RIGHT
expect ASIO_BESIDE_OTHERWISE "whether an Asio operation is ready is known only by launching it"
expect TWO_OTHERWISES "a select has at most one otherwise"
expect NOTHING_SAYS_WHAT_IS_LOST "an Asio operation that loses may have done something all the same"
expect LOST_IS_SOMETHING_ELSE "the third argument of \`on\` is called with all completion arguments"
expect NOTHING_CAN_BE_LOST "the third argument of \`on\` is called with all completion arguments"
expect SELECT_OF_A_CHANNEL "A case is an operation: ch.receive()"
expect SELECT_OF_A_TASK "A case is an operation: ch.receive()"
expect HANDLER_TAKES_SOMETHING_ELSE "the handler of a case takes what its operation gives"
expect TIMEOUT_OF_A_TASK "A task has a limit by its context"
expect AWAITED_CHANNEL "a channel is not awaited itself: co_await ch.receive()"
expect AWAITED_FUTURE "there is sluice::offload"
expect AWAITED_TASK_OF_SOMEBODY_ELSE "a task is awaited by its owner: co_await std::move(task)"
expect AWAITED_NUMBER "a task awaits a task, an operation of sluice"
expect RECEIVE_NOT_AWAITED "co_await it, or give it a completion token"
expect TASK_NOT_AWAITED "co_await it, or start it: go(what())"
expect ABANDONED_WITHOUT_ERROR "sluice::abandon takes an operation that can say operation_aborted"
exit "$failed"
