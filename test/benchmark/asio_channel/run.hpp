#pragma once

#include "../measure.hpp"

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/experimental/concurrent_channel.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>

#include <cstdint>
#include <exception>
#include <utility>

namespace asio_side {

namespace asio = boost::asio;
using asio::awaitable;
using asio::use_awaitable;
using boost::system::error_code;
using channel = asio::experimental::concurrent_channel<void(error_code, std::int64_t)>;

/// Starts a coroutine on a strand of its own.
inline void go(asio::io_context& io, awaitable<void> what) {
  asio::co_spawn(asio::make_strand(io), std::move(what), [](std::exception_ptr e) {
    if (e) std::rethrow_exception(e);
  });
}

/// Runs a callable that takes the io_context and gives an awaitable until it and what it has
/// started have ended.
/** Channels that they share are to be destroyed before the program.
 *  @return Nanoseconds for each of `operations`. */
template <class Main>
double run(measure::program& program, std::size_t operations, Main main) {
  asio::co_spawn(asio::make_strand(program.io()), main(program.io()), [&](std::exception_ptr e) {
    if (e) std::rethrow_exception(e);
    program.end();
  });
  return program.run() * 1e9 / static_cast<double>(operations);
}
template <class Main>
double run(const measure::setting& s, std::size_t operations, Main main) {
  measure::program program(s.threads);
  return run(program, operations, std::move(main));
}
template <class Main>
double run(const measure::setting& s, Main main) {
  return run(s, s.size, std::move(main));
}

}  // namespace asio_side
