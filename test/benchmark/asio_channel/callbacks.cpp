// Operations with completion handlers, each begun by the handler of the one before.
#include "run.hpp"

#include <boost/asio/experimental/channel.hpp>
#include <boost/asio/post.hpp>

#include <cstddef>
#include <cstdint>

namespace asio_side {
namespace {

/// For one thread: it has no lock.
using unlocked_channel = asio::experimental::channel<void(error_code, std::int64_t)>;

/// A channel, and how often something is still to be done with it.
template <class Channel>
struct chain {
  explicit chain(const measure::setting& s)
      : program(s.threads), ch(program.io(), 1), left(s.size) {}

  measure::program program;
  Channel ch;
  std::size_t left;
  std::int64_t sum = 0;
};

/// Does `step(chain, next)` again and again; its last handler calls `next`.
template <class Channel, class Step>
void next(chain<Channel>& c, Step step) {
  if (c.left == 0) return c.program.end();
  --c.left;
  step(c, [&c, step] { asio_side::next(c, step); });
}

template <class Channel, class Step>
measure::results run_chain_of(const measure::setting& s, Step step) {
  chain<Channel> c(s);
  asio::post(c.program.io(), [&] { asio_side::next(c, step); });
  const double ns = c.program.run() * 1e9 / static_cast<double>(s.size);
  measure::check(c.sum, static_cast<std::int64_t>(s.size));
  return ns;
}

template <class Step>
measure::results run_chain(const measure::setting& s, Step step) {
  return s.threads == 1 ? run_chain_of<unlocked_channel>(s, step) : run_chain_of<channel>(s, step);
}

const measure::workload ready("callback_ready", [](const measure::setting& s) {
  return run_chain(s, [](auto& c, auto then) {
    c.ch.async_send(error_code(), 1, [&c, then](error_code) {
      c.ch.async_receive([&c, then](error_code, std::int64_t v) {
        c.sum += v;
        then();
      });
    });
  });
});

const measure::workload parking("callback_parking", [](const measure::setting& s) {
  return run_chain(s, [](auto& c, auto then) {
    c.ch.async_receive([&c, then](error_code, std::int64_t v) {
      c.sum += v;
      then();
    });
    c.ch.async_send(error_code(), 1, [](error_code) {});
  });
});

}  // namespace
}  // namespace asio_side
