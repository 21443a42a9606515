#pragma once

#include "run.hpp"

#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <cstddef>
#include <cstdint>

namespace sluice_side {

// Of a type of their own: what the linker takes from here is not what the goroutines are measured
// by.
using value = std::int32_t;
using channel_of_values = sluice::channel<value>;

/// Two channels, a timer that has gone off, and how often something is still to be done with them.
struct chain {
  explicit chain(const measure::setting& s)
      : program(s.threads),
        a(sluice::make_channel<value>(program.io(), 1)),
        b(sluice::make_channel<value>(program.io(), 1)),
        gone_off(program.io(), boost::asio::steady_timer::time_point::min()),
        left(s.size) {}

  measure::program program;
  channel_of_values a;
  channel_of_values b;
  boost::asio::steady_timer gone_off;
  std::size_t left;
  std::int64_t sum = 0;
};

/// Does `step(chain, next)` again and again; its last handler calls `next`.
template <class Step>
void next(chain& c, Step step) {
  if (c.left == 0) return c.program.end();
  --c.left;
  step(c, [&c, step] { sluice_side::next(c, step); });
}

template <class Step>
measure::results run_chain(const measure::setting& s, Step step) {
  chain c(s);
  boost::asio::post(c.program.io(), [&] { sluice_side::next(c, step); });
  const double ns = c.program.run() * 1e9 / static_cast<double>(s.size);
  measure::check(c.sum, static_cast<std::int64_t>(s.size));
  return ns;
}

}  // namespace sluice_side
