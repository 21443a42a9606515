// SPDX-License-Identifier: BSL-1.0
// A plugin with a copy of the library of its own: see host.cpp.
#include "plugin.hpp"

#include <chrono>
#include <utility>

namespace {

sluice::task<> answer(sluice::receiver<number> questions, sluice::sender<number> answers) {
  auto relayed = sluice::make_channel<number>(4);
  sluice::go([questions, relayed]() -> sluice::task<> {
    while (auto n = co_await questions.receive()) co_await relayed.send(*n);
    relayed.close();
  });
  while (auto n = co_await relayed.receive()) {
    if (*n % 256 == 1) co_await sluice::sleep_for(std::chrono::microseconds(50));
    if (*n % 256 == 2) co_await sluice::offload([] {});
    co_await answers.send(2 * *n);
  }
  co_await answers.send(0);
  co_await sluice::channel<void>().receive();
}

void start(boost::asio::io_context& io, sluice::receiver<number> questions,
           sluice::sender<number> answers) {
  sluice::go(io, answer, std::move(questions), std::move(answers));
}

}  // namespace

const plugin_functions functions{&start, sluice::error::closed};
