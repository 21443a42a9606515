// SPDX-License-Identifier: BSL-1.0
// A broker that passes every message on to all who have subscribed. It is one goroutine with one
// select: nobody else touches the list of subscribers, so nothing is locked. Each subscriber has a
// buffer of a size of its choice, and misses what does not fit: a slow one holds up nobody. The Go
// original:
//
//   type Broker struct {
//       publish                chan string
//       subscribe, unsubscribe chan chan string
//   }
//
//   func (b *Broker) Run() {
//       subscribers := map[chan string]bool{}
//       for {
//           select {
//           case s := <-b.subscribe:
//               subscribers[s] = true
//           case s := <-b.unsubscribe:
//               delete(subscribers, s)
//               close(s)
//           case message, ok := <-b.publish:
//               if !ok {
//                   for s := range subscribers {
//                       close(s)
//                   }
//                   return
//               }
//               for s := range subscribers {
//                   select {
//                   case s <- message:
//                   default:
//                   }
//               }
//           }
//       }
//   }
#include <sluice.hpp>

#include <cstdio>
#include <optional>
#include <string>
#include <vector>

using sluice::on;
using subscriber = sluice::channel<std::string>;

class broker {
 public:
  sluice::task<> run() {
    std::vector<subscriber> subscribers;
    for (bool open = true; open;) {
      co_await sluice::select(
          on(subscribe.receive(),
             [&](const std::optional<subscriber>& s) { subscribers.push_back(*s); }),
          on(unsubscribe.receive(),
             [&](const std::optional<subscriber>& s) {
               std::erase(subscribers, *s);
               s->close();
             }),
          on(publish.receive(), [&](const std::optional<std::string>& message) {
            open = message.has_value();
            for (const auto& s : subscribers) pass_on(message, s);
          }));
    }
  }

  const sluice::channel<std::string> publish = sluice::make_channel<std::string>();
  const sluice::channel<subscriber> subscribe = sluice::make_channel<subscriber>();
  const sluice::channel<subscriber> unsubscribe = sluice::make_channel<subscriber>();

 private:
  static void pass_on(const std::optional<std::string>& message, const subscriber& s) {
    sluice::error_code full;
    if (message)
      s.try_send(*message, full);
    else
      s.close();
  }
};

sluice::task<> print(const char* name, sluice::receiver<std::string> messages) {
  while (const auto m = co_await messages.receive()) std::printf("%s: %s\n", name, m->c_str());
}

int main() {
  sluice::run([]() -> sluice::task<> {
    broker news;
    sluice::wait_group all;
    all.go(news.run());

    auto faithful = sluice::make_channel<std::string>(10);
    auto leaving = sluice::make_channel<std::string>(10);
    auto slow = sluice::make_channel<std::string>(3);
    for (const auto& s : {faithful, leaving, slow}) co_await news.subscribe.send(s);
    all.go(print, "faithful", faithful);
    all.go(print, "leaving", leaving);

    for (int i = 1; i <= 2; ++i) co_await news.publish.send("message " + std::to_string(i));
    co_await news.unsubscribe.send(leaving);
    for (int i = 3; i <= 5; ++i) co_await news.publish.send("message " + std::to_string(i));
    news.publish.close();
    co_await all.wait();
    co_await print("slow", slow);  // only now: what its buffer could hold
  });
}
