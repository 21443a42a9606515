#include "lap.hpp"

#include <memory>
#include <optional>

namespace sluice_test::soak {

namespace {

/// Channels of one kind of value, and how many have come which way.
template <class Value>
struct market {
  std::vector<sluice::channel<Value>> channels;
  std::atomic<std::uint64_t> offered{0};
  std::atomic<std::uint64_t> sent{0};
  std::atomic<std::uint64_t> received{0};
  std::atomic<std::uint64_t> sum_sent{0};
  std::atomic<std::uint64_t> sum_received{0};

  explicit market(asio::io_context& io) {
    for (const std::size_t capacity : {0U, 0U, 1U, 5U})
      channels.push_back(sluice::make_channel<Value>(io, capacity));
  }
  [[nodiscard]] const sluice::channel<Value>& some(dice& d) const {
    return channels[d.below(channels.size())];
  }
  void was_sent(std::uint64_t n) { ++sent, sum_sent += n; }
  void was_received(const Value& v) { ++received, sum_received += v.number; }

  void check() {
    for (const auto& ch : channels) {
      sluice::error_code e;
      for (;;) try {
          const auto v = ch.try_receive(e);
          if (!v) break;
          was_received(*v);
        } catch (const std::runtime_error&) {
          continue;  // it is in the channel again
        }
    }
    if (sent != received || sum_sent != sum_received)
      wrong(std::to_string(sent) + " values were sent, and " + std::to_string(received) +
            " received");
  }
};

template <class Value>
task<> sell(lap& l, market<Value>& m, dice d) {
  while (l.goes_on()) {
    const auto number = ++m.offered;
    const auto& ch = m.some(d);
    bool sent = false;
    try {
      switch (d.below(4)) {
        case 0:
          co_await ch.send(Value(number));
          sent = true;
          break;
        case 1:
          co_await sluice::timeout(ch.send(Value(number)), d.moment());
          sent = true;
          break;
        case 2: {
          const auto r = co_await sluice::select(ch.send(Value(number)),
                                                 sluice::sleep_for(d.moment()), l.tree.ctx.done());
          sent = r.index() == 0;
          break;
        }
        default: {
          sluice::error_code e;
          Value v(number);
          sent = ch.try_send(std::move(v), e);
          co_await sluice::this_goroutine::yield();
        }
      }
    } catch (...) {
      lap::check(std::current_exception());
    }
    if (sent) m.was_sent(number);
    l.done();
  }
}

template <class Value>
task<> buy(lap& l, market<Value>& m, dice d) {
  while (l.goes_on()) {
    const auto& a = m.some(d);
    const auto& b = m.some(d);
    try {
      switch (d.below(4)) {
        case 0: {
          const auto v = co_await a.receive();
          if (v) m.was_received(*v);
          break;
        }
        case 1: {
          const auto v = co_await sluice::timeout(a.receive(), d.moment());
          if (v) m.was_received(*v);
          break;
        }
        case 2: {
          const auto r = co_await sluice::select(a.receive(), b.receive(),
                                                 sluice::after(d.moment()).receive());
          if (r.index() == 0 && r.template get<0>()) m.was_received(*r.template get<0>());
          if (r.index() == 1 && r.template get<1>()) m.was_received(*r.template get<1>());
          break;
        }
        default: {
          std::vector<sluice::select_case> cases;
          const auto take = [&](sluice::error_code, const std::optional<Value>& v) {
            if (v) m.was_received(*v);
          };
          for (const auto& ch : m.channels) cases.emplace_back(sluice::on(ch.receive(), take));
          if (d.below(2) == 0) cases.emplace_back(sluice::otherwise([] {}));
          co_await sluice::select(std::move(cases));
          co_await sluice::this_goroutine::yield();
        }
      }
    } catch (...) {
      lap::check(std::current_exception());
    }
    l.done();
  }
}

/// Receives by callbacks, the next in the last one's handler.
template <class Value>
struct subscriber : std::enable_shared_from_this<subscriber<Value>> {
  subscriber(lap& of, market<Value>& at) : l(of), m(at) {}

  void receive_next() {
    auto handler = [self = this->shared_from_this()](sluice::error_code,
                                                     const std::optional<Value>& v) {
      if (v) self->m.was_received(*v);
      self->l.done();
      if (self->l.goes_on()) self->receive_next();
    };
    m.channels[0].async_receive(
        sluice::bind_context(l.tree.ctx, asio::bind_executor(strand, std::move(handler))));
  }

  lap& l;
  market<Value>& m;
  asio::strand<asio::io_context::executor_type> strand = asio::make_strand(l.io);
};

/// A channel of its own for each exchange, closed by whoever comes to it, its handles dropped.
task<> short_lives(lap& l, dice d) {
  while (l.goes_on()) {
    const auto ch = sluice::make_channel<parcel>(d.below(3));
    sluice::go(l.tree.ctx, [ch]() -> task<> {
      bool goes_on = true;
      for (std::uint64_t i = 0; goes_on && i < 5; ++i)
        goes_on = co_await succeeds(ch.send(parcel(i)));
      ch.try_close();
    });
    std::uint64_t expected = 0;
    while (const auto v = co_await ch.receive()) {
      if (v->number != expected++) wrong("values came out of order");
      if (d.below(16) == 0) ch.try_close();
    }
    l.done(expected);
  }
}

template <class Value>
void start_market(lap& l, market<Value>& m) {
  for (int i = 0; i < 6; ++i) {
    l.start([&l, &m, d = l.some_dice()] { return sell(l, m, d); });
    l.start([&l, &m, d = l.some_dice()] { return buy(l, m, d); });
  }
  std::make_shared<subscriber<Value>>(l, m)->receive_next();
  l.start([&l, &m]() -> task<> {
    while (l.goes_on()) {
      co_await sluice::sleep_for(1ms);
      m.channels[1].cancel();
    }
  });
}

}  // namespace

std::function<void()> start_traders(lap& l) {
  const auto solid = std::make_shared<market<parcel>>(l.io);
  const auto fragile = std::make_shared<market<fragile_parcel>>(l.io);
  start_market(l, *solid);
  start_market(l, *fragile);
  for (int i = 0; i < 4; ++i) l.start([&l, d = l.some_dice()] { return short_lives(l, d); });
  return [solid, fragile] {
    solid->check();
    fragile->check();
  };
}

}  // namespace sluice_test::soak
