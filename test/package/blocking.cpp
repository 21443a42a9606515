// A goroutine that holds its thread for longer than a debug build of the library lets pass.
#include <sluice/runtime.hpp>

#include <chrono>
#include <thread>

int main() {
  sluice::run([]() -> sluice::task<> {
    std::this_thread::sleep_for(std::chrono::seconds(3));
    co_return;
  });
}
