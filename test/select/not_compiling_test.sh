#!/bin/bash
# Selects that must not compile, and what the compiler is to say about them. The compiler and its
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
#include <sluice/timer.hpp>

#include <boost/asio/deferred.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

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
#elif defined(ASIO_BESIDE_OTHERWISE)
  co_await sluice::select(timer.async_wait(boost::asio::deferred), sluice::otherwise([] {}));
#elif defined(TWO_OTHERWISES)
  co_await sluice::select(sluice::otherwise([] {}), sluice::otherwise([] {}));
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
    if ((status != 0)) && grep -qF -- "$2" "$work/log"; then return; fi
    echo "$1 compiles, or the compiler does not say \"$2\":"
  fi
  cat "$work/log"
  failed=1
}

expect RIGHT
expect ASIO_BESIDE_OTHERWISE "whether an Asio operation is ready is known only by launching it"
expect TWO_OTHERWISES "a select has at most one otherwise"
expect NOTHING_SAYS_WHAT_IS_LOST "an Asio operation that loses may have done something all the same"
expect ABANDONED_WITHOUT_ERROR "sluice::abandon takes an operation that can say operation_aborted"
exit "$failed"
