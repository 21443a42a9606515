// SPDX-License-Identifier: BSL-1.0
// A host with a copy of the library, and plugins each with its own, on one io_context: channels
// lead from one to the other, and the end of the context is that of all goroutines.
//
//   host QUESTIONS PLUGIN...
#include "plugin.hpp"

#include <dlfcn.h>

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <thread>
#include <vector>

namespace asio = boost::asio;

namespace {

const plugin_functions& load(const char* path) {
  void* const plugin = ::dlopen(path, RTLD_NOW | RTLD_LOCAL);
  void* const functions = plugin ? ::dlsym(plugin, "functions") : nullptr;
  if (!functions) {
    std::printf("%s\n", ::dlerror());
    std::exit(1);
  }
  return *static_cast<const plugin_functions*>(functions);
}

sluice::task<> ask(const plugin_functions& plugin, asio::io_context& io, int questions, long& sum) {
  auto to_plugin = sluice::make_channel<number>(3);
  auto from_plugin = sluice::make_channel<number>(3);
  plugin.start(io, to_plugin, from_plugin);
  sluice::go([to_plugin, questions]() -> sluice::task<> {
    for (int i = 1; i <= questions; ++i) co_await to_plugin.send(i);
    to_plugin.close();
  });
  for (;;) {
    auto answer = co_await sluice::timeout(from_plugin.receive(), std::chrono::seconds(60));
    if (*answer == 0) break;
    sum += *answer;
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<const plugin_functions*> plugins;
  const int questions = std::atoi(argv[1]);
  for (int i = 2; i < argc; ++i) plugins.push_back(&load(argv[i]));

  std::vector<long> sums(plugins.size());
  {
    asio::io_context io;
    sluice::go(io, [&]() -> sluice::task<> {
      const auto& root = sluice::context::background();
      co_await sluice::with_task_group(root, [&](sluice::task_group& g) -> sluice::task<> {
        for (std::size_t i = 0; i < plugins.size(); ++i)
          g.go(ask, std::ref(*plugins[i]), std::ref(io), questions, std::ref(sums[i]));
        co_return;
      });
      io.stop();
    });
    std::thread second([&] { io.run(); });
    io.run();
    second.join();
  }

  for (const long sum : sums)
    if (sum != long{questions} * (questions + 1)) {
      std::printf("the sum of the answers is %ld\n", sum);
      return 1;
    }
  for (const auto* plugin : plugins) {
    if (&plugin->closed.category() == &sluice::sluice_category()) {
      std::puts("a plugin uses the host's copy");
      return 1;
    }
    if (plugin->closed != sluice::error::closed) {
      std::puts("a plugin's error is not the host's");
      return 1;
    }
  }
  std::printf("%zu plugins\n", plugins.size());
}
