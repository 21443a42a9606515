#include <sluice.hpp>

#include <iostream>
#include <string>

sluice::task<> greet(std::string name, sluice::sender<std::string> out) {
  co_await out.send("hello, " + name);
}

int main() {
  return sluice::run([]() -> sluice::task<int> {
    auto greetings = sluice::make_channel<std::string>();
    sluice::go(greet, "gopher", greetings);
    std::cout << *co_await greetings.receive() << '\n';
    co_return 0;
  });
}
