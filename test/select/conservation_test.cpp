// Nothing is ever lost: goroutines, callbacks and awaitables send, receive, wait, read and write
// through selects of every form, while others cancel them and close their channels. Every value has
// an identity, and in the end each has had exactly one fate.
//
// SLUICE_STRESS_SECONDS says how long it runs, SLUICE_SEED how it begins.
#include "conservation.hpp"

#include "../support.hpp"
#include "../time_helpers.hpp"

#include <sluice/context.hpp>
#include <sluice/select.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/timeout.hpp>
#include <sluice/use_task.hpp>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_executor.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/test/unit_test.hpp>

#include <array>
#include <deque>
#include <optional>
#include <random>
#include <ranges>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace sluice_test;

using namespace sluice_test::conservation;

// --- goroutines that send and receive ------------------------------------------------------------

task<> select_of_three(world& w, random_numbers& r, hand& mine) {
  parcel out(w.pick(r), mine);
  auto result = co_await select(w.pick(r).receive(), out.operation, w.pick_or_nil(r).receive(),
                                sleep_for(w.moment(r)));
  if (result.index() == 0) look_at(result.get<0>());
  if (result.index() == 1) out.sent();
  if (result.index() == 2) look_at(result.get<2>());
}

task<> select_of_temporaries(world& w, random_numbers& r, hand& mine) {
  cargo a = mine.take();
  cargo b = mine.take();
  const std::array ids{a.id(), b.id()};
  bool failed = true;
  try {
    auto result = co_await select(w.pick(r).send(std::move(a)), w.pick(r).receive(),
                                  w.pick_or_nil(r).send(std::move(b)), sleep_for(w.moment(r)));
    failed = false;
    if (result.index() == 0) mine.note(fate::sent, ids[0]);
    if (result.index() == 1) look_at(result.get<1>());
    if (result.index() == 2) mine.note(fate::sent, ids[1]);
    if (result.lost<0>()) mine.put(std::move(*result.lost<0>()));
    if (result.lost<2>()) mine.put(std::move(*result.lost<2>()));
  } catch (const sluice::system_error& x) {
    w.check(x.code());
  }
  if (failed)
    for (const auto id : ids) mine.note(fate::told, id);
}

task<> select_with_handlers(world& w, random_numbers& r, hand& mine) {
  parcel out(w.pick(r), mine);
  co_await select(on(w.pick(r).receive(), [](std::optional<cargo> v) { look_at(v); }),
                  on(out.operation,
                     [&](error_code e) {
                       if (!e) out.sent();
                     }),
                  otherwise([] {}));
  co_await sluice::this_goroutine::yield();
}

task<> select_with_coroutines(world& w, random_numbers& r, hand& mine) {
  parcel out(w.pick(r), mine);
  co_await select_in_order(on(w.context(r).done(), [] {}),
                           on(out.operation,
                              [&]() -> task<> {
                                out.sent();
                                co_await sluice::this_goroutine::yield();
                              }),
                           on(w.pick(r).receive(), [](std::optional<cargo> v) { look_at(v); }));
  co_await sleep_for(w.moment(r));
}

task<> select_with_token(world& w, random_numbers& r, hand& mine) {
  parcel out(w.pick(r), mine);
  auto result =
      co_await select(out.operation, w.pick(r).receive(), sleep_for(w.moment(r)))(sluice::use_task);
  if (result.index() == 0) out.sent();
  if (result.index() == 1) look_at(result.get<1>());
}

task<> operations_alone(world& w, random_numbers& r, hand& mine) {
  parcel out(w.pick(r), mine);
  switch (r.below(4)) {
    case 0:
      co_await out.operation;
      out.sent();
      break;
    case 1: {
      auto v = co_await w.pick(r).receive();
      look_at(v);
      break;
    }
    case 2:
      co_await sluice::timeout(out.operation, w.moment(r));
      out.sent();
      break;
    default: {
      auto v = co_await sluice::timeout(w.pick(r).receive(), w.moment(r));
      look_at(v);
    }
  }
}

task<> select_of_sends_in_a_range(world& w, random_numbers& r, hand& mine) {
  std::deque<parcel> parcels;
  for (std::size_t i = 1 + r.below(4); i != 0; --i) parcels.emplace_back(w.pick(r), mine);
  auto operations = parcels | std::views::transform([](parcel& p) -> auto& { return p.operation; });
  const auto result = co_await select(operations);
  parcels[result.index()].sent();
}

task<> select_of_receives_in_a_range(world& w, random_numbers& r, hand&) {
  std::vector<sluice::receive_operation<cargo>> operations;
  for (std::size_t i = 1 + r.below(6); i != 0; --i) operations.push_back(w.pick(r).receive());
  auto result = co_await select(std::move(operations));
  look_at(result.get());
}

task<> select_of_cases_in_a_range(world& w, random_numbers& r, hand& mine) {
  std::deque<parcel> parcels;
  std::vector<sluice::select_case> cases;
  for (std::size_t i = 1 + r.below(3); i != 0; --i) {
    parcel& out = parcels.emplace_back(w.pick_or_nil(r), mine);
    cases.emplace_back(on(out.operation, [&out](error_code e) {
      if (!e) out.sent();
    }));
    cases.emplace_back(on(w.pick(r).receive(), [](std::optional<cargo> v) { look_at(v); }));
  }
  cases.emplace_back(sleep_for(w.moment(r)));
  co_await select(cases);
}

using transaction = task<> (*)(world&, random_numbers&, hand&);
constexpr std::array<transaction, 9> transactions{&select_of_three,
                                                  &select_of_temporaries,
                                                  &select_with_handlers,
                                                  &select_with_coroutines,
                                                  &select_with_token,
                                                  &operations_alone,
                                                  &select_of_sends_in_a_range,
                                                  &select_of_receives_in_a_range,
                                                  &select_of_cases_in_a_range};

/// Goes on after a cancellation. A context that is done stays that: a goroutine of one is cancelled
/// no more from now on.
task<> go_on() {
  co_await asio::this_coro::reset_cancellation_state();
  const auto state = co_await asio::this_coro::cancellation_state;
  if (state.cancelled() != asio::cancellation_type::none)
    co_await asio::this_coro::reset_cancellation_state(asio::disable_cancellation());
}

task<> trader(world& w, std::uint64_t seed) {
  random_numbers r(seed);
  hand mine(w.book);
  const auto favourite = transactions[r.below(transactions.size())];
  while (w.goes_on()) {
    error_code e;
    try {
      const auto t = r.below(2) ? favourite : transactions[r.below(transactions.size())];
      co_await t(w, r, mine);
    } catch (const sluice::system_error& x) {
      e = x.code();
    }
    if (!e) continue;
    w.check(e);
    if (e == aborted) co_await go_on();
    co_await sluice::this_goroutine::yield();
  }
  mine.end();
}

// --- others that send and receive ----------------------------------------------------------------

/// A chain of callbacks on a strand.
class relay : public std::enable_shared_from_this<relay> {
 public:
  relay(world& w, canceller& c, std::uint64_t seed)
      : world_(w), canceller_(c), random_(seed), mine_(w.book) {}

  void next() {
    out_.reset();
    if (!world_.goes_on()) return end();
    out_.emplace(world_.pick(random_), mine_);
    auto handler = [self = shared_from_this()](error_code e, auto result) {
      self->done(e, std::move(result));
    };
    select(out_->operation, world_.pick(random_).receive(), sleep_for(world_.moment(random_)))(
        asio::bind_executor(canceller_.strand, asio::bind_cancellation_slot(
                                                   canceller_.signal.slot(), std::move(handler))));
  }

 private:
  template <class Result>
  void done(error_code e, Result result) {
    if (e) world_.check(e);
    if (result.index() == 0) out_->sent();
    if (result.index() == 1) look_at(result.template get<1>());
    asio::post(canceller_.strand, [self = shared_from_this()] { self->next(); });
  }
  void end() {
    mine_.end();
    canceller_.ended = true;
  }

  world& world_;
  canceller& canceller_;
  random_numbers random_;
  hand mine_;
  std::optional<parcel> out_;
};

asio::awaitable<void> commuter(world& w, std::uint64_t seed) {
  random_numbers r(seed);
  hand mine(w.book);
  while (w.goes_on()) {
    parcel out(w.pick(r), mine);
    auto operation = select(w.pick(r).receive(), out.operation, sleep_for(w.moment(r)));
    auto [e, result] = co_await std::move(operation)(asio::as_tuple(asio::use_awaitable));
    if (e) w.check(e);
    if (result.index() == 0) look_at(result.template get<0>());
    if (result.index() == 1) out.sent();
  }
  mine.end();
}

// --- goroutines at the two ends of a stream ------------------------------------------------------

class reader {
 public:
  reader(world& w, std::shared_ptr<stream> s, std::uint64_t seed, bool composed) noexcept
      : world_(w), stream_(std::move(s)), random_(seed), composed_(composed) {}

  task<> operator()() {
    while (!ended_) {
      error_code e;
      try {
        if (!world_.goes_on())
          got(co_await stream_->near.async_read_some(room(), asio::deferred));
        else
          co_await some_bytes();
      } catch (const sluice::system_error& x) {
        e = x.code();
      }
      if (!e) continue;
      world_.check(e);
      if (e == asio::error::eof || at_end()) ended_ = true;
      if (e == aborted) co_await go_on();
    }
  }

 private:
  // A cancelled select drops the errors of its Asio cases, and Asio's reactor tells the end of a
  // stream only once.
  [[nodiscard]] bool at_end() {
    char next;
    error_code e;
    stream_->near.non_blocking(true);
    stream_->near.receive(asio::buffer(&next, 1), asio::socket_base::message_peek, e);
    return e == asio::error::eof;
  }

  [[nodiscard]] asio::mutable_buffer room() const { return asio::buffer(stream_->incoming); }

  task<> some_bytes() {
    if (composed_) return whole_words();
    return random_.below(2) ? one_of_three() : one_of_cases();
  }

  task<> one_of_three() {
    auto result = co_await select(world_.pick(random_).receive(),
                                  stream_->near.async_read_some(room(), asio::deferred),
                                  sleep_for(world::moment(random_)));
    if (result.index() == 0) look_at(result.get<0>());
    if (result.index() == 1) got(result.get<1>());
    if (const auto& lost = result.lost<1>()) lost_case(std::get<0>(*lost), std::get<1>(*lost));
  }

  task<> one_of_cases() {
    std::vector<sluice::select_case> cases;
    cases.emplace_back(on(
        stream_->near.async_read_some(room(), asio::deferred), [this](std::size_t n) { got(n); },
        [this](error_code e, std::size_t n) { lost_case(e, n); }));
    cases.emplace_back(
        on(world_.pick(random_).receive(), [](std::optional<cargo> v) { look_at(v); }));
    co_await select(std::move(cases));
  }

  task<> whole_words() {
    co_await select(on(
                        asio::async_read(stream_->near, asio::buffer(room(), 16), asio::deferred),
                        [this](error_code e, std::size_t n) {
                          got(n);
                          if (e) ended_ = true;
                        },
                        [this](error_code e, std::size_t n) { lost_case(e, n); }),
                    on(world_.pick(random_).receive(), [](std::optional<cargo> v) { look_at(v); }));
  }

  void got(std::size_t n) {
    for (std::size_t i = 0; i < n; ++i)
      world_.wrong.expect(stream_->incoming[i] == stream::at(stream_->bytes.read + i),
                          "a byte of a stream is not the next");
    stream_->bytes.read += n;
    world_.sums.bytes += n;
  }
  void lost_case(error_code e, std::size_t n) {
    got(n);
    world_.sums.lost_bytes += n;
    if (e == asio::error::eof) ended_ = true;
  }

  world& world_;
  const std::shared_ptr<stream> stream_;
  random_numbers random_;
  const bool composed_;
  bool ended_ = false;
};

class writer {
 public:
  writer(world& w, std::shared_ptr<stream> s, std::uint64_t seed) noexcept
      : world_(w), stream_(std::move(s)), random_(seed) {}

  task<> operator()() {
    while (world_.goes_on()) {
      error_code e;
      try {
        co_await some_bytes();
      } catch (const sluice::system_error& x) {
        e = x.code();
      }
      if (!e) continue;
      world_.check(e);
      if (e == aborted) co_await go_on();
    }
    stream_->far.shutdown(asio::socket_base::shutdown_send);
  }

 private:
  task<> some_bytes() {
    const std::size_t n = 1 + random_.below(stream_->outgoing.size());
    for (std::size_t i = 0; i < n; ++i)
      stream_->outgoing[i] = stream::at(stream_->bytes.written + i);
    auto result = co_await select(
        stream_->far.async_write_some(asio::buffer(stream_->outgoing, n), asio::deferred),
        world_.pick(random_).receive(), sleep_for(world::moment(random_)));
    if (result.index() == 0) stream_->bytes.written += result.get<0>();
    if (const auto& lost = result.lost<0>()) stream_->bytes.written += std::get<1>(*lost);
    if (result.index() == 1) look_at(result.get<1>());
    if (random_.below(4) == 0) co_await sleep_for(world::moment(random_));
  }

  world& world_;
  const std::shared_ptr<stream> stream_;
  random_numbers random_;
};

}  // namespace

// --- the world and its end -----------------------------------------------------------------------

namespace sluice_test::conservation {

template <class Actor>
void world::employ(Actor actor, bool cancelled, bool under_context) {
  canceller& c = cancellers_.emplace_back(*io_);
  auto ended = [this, &c](std::exception_ptr e) {
    c.ended = true;
    wrong.expect(!e, "an exception left a goroutine");
  };
  if (!cancelled) return sluice::go(*io_, std::move(actor), asio::bind_executor(c.strand, ended));
  auto token = asio::bind_executor(c.strand, asio::bind_cancellation_slot(c.signal.slot(), ended));
  if (under_context)
    sluice::go(context(random_), *io_, std::move(actor), token);
  else
    sluice::go(*io_, std::move(actor), token);
}

void world::people() {
  const auto seed = [this] { return random_.below(std::size_t{1} << 31); };
  for (std::size_t n = 10 + random_.below(20); n != 0; --n)
    employ([this, s = seed()] { return trader(*this, s); }, random_.below(4) != 0,
           random_.below(2) != 0);
  for (std::size_t n = 1 + random_.below(3); n != 0; --n) {
    const auto s = std::make_shared<stream>(*io_, streams_.emplace_back());
    const bool composed = random_.below(3) == 0;
    employ(reader(*this, s, seed(), composed), !composed, random_.below(2) != 0);
    employ(writer(*this, s, seed()), true, random_.below(2) != 0);
  }
  for (int n = 0; n < 3; ++n) {
    canceller& c = cancellers_.emplace_back(*io_);
    std::make_shared<relay>(*this, c, seed())->next();
    asio::co_spawn(asio::make_strand(*io_), commuter(*this, seed()), [this](std::exception_ptr e) {
      wrong.expect(!e, "an exception left an awaitable");
    });
  }
  sluice::go(*io_, [this, s = seed()] { return govern(s); });
}

/// Cancels and closes now and then, and ends the round.
task<> world::govern(std::uint64_t seed) {
  constexpr std::array types{asio::cancellation_type::terminal, asio::cancellation_type::partial,
                             asio::cancellation_type::total, asio::cancellation_type::all};
  random_numbers r(seed);
  for (std::size_t turns = 10 + r.below(30); turns != 0; --turns) {
    co_await sleep_for(moment(r));
    for (std::size_t n = r.below(4); n != 0; --n)
      cancellers_[r.below(cancellers_.size())].cancel(types[r.below(types.size())]);
    if (r.below(16) == 0) contexts_[r.below(contexts_.size())].cancel();
    if (r.below(40) == 0) close(pick(r));
  }
  over_ = true;
  if (abrupt_) {
    io_->stop();
  } else {
    for (const auto& ch : channels_) close(ch);
    for (const auto& c : contexts_) c.cancel();
  }
}

void world::close(const channel<cargo>& ch) {
  try {
    ch.close();
  } catch (const sluice::system_error& x) {
    wrong.expect(x.code() == closed, "closing failed");
  }
}

void world::trade_on_a_foreign_thread() {
  hand mine(book);
  while (goes_on()) {
    error_code e;
    cargo c = mine.take();
    const auto id = c.id();
    if (pick(random_).try_send(std::move(c), e))
      mine.note(fate::sent, id);
    else
      mine.put(std::move(c));
    auto v = pick(random_).try_receive(e);
    look_at(v);
    std::this_thread::sleep_for(10us);
  }
  mine.end();
}

std::string world::play() {
  const watchdog dog;
  io_.emplace(static_cast<int>(threads_));
  people();
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < threads_; ++i)
    threads.emplace_back([this] {
      try {
        io_->run();
      } catch (...) {
        wrong.expect(false, "an exception left run()");
        over_ = true;
        io_->stop();
      }
    });
  if (random_.below(2)) trade_on_a_foreign_thread();
  for (auto& t : threads) t.join();
  cancellers_.clear();
  io_.reset();
  for (const auto& ch : channels_) {
    error_code e;
    while (auto v = ch.try_receive(e)) v->meet(fate::buffered);
  }
  return audit();
}

std::string world::audit() {
  std::string text = wrong.text();
  for (const auto& s : streams_)
    if (abrupt_ ? s.read > s.written + longest_write : s.read != s.written)
      text += "of " + std::to_string(s.written) + " bytes " + std::to_string(s.read) + " came; ";
  std::size_t bad = 0;
  for (std::uint32_t id = 0; id < book.values(); ++id) {
    std::array<unsigned, fates> n{};
    for (unsigned f = 0; f < fates; ++f) {
      n[f] = book.count(static_cast<fate>(f), id);
      sums.values[f] += n[f];
    }
    const auto [sent, received, buffered, returned, told, destroyed] = n;
    const bool one_end = received + buffered + returned + destroyed == 1;
    const bool one_report = sent + returned + told <= 1 && (told == 0 || destroyed == 1);
    const bool nothing_open = destroyed == told && received + buffered == sent;
    if (one_end && one_report && (abrupt_ || nothing_open)) continue;
    if (++bad > 5) continue;
    text += "value " + std::to_string(id) + ": sent " + std::to_string(sent) + ", received " +
            std::to_string(received) + ", buffered " + std::to_string(buffered) + ", returned " +
            std::to_string(returned) + ", told " + std::to_string(told) + ", destroyed " +
            std::to_string(destroyed) + "; ";
  }
  if (bad != 0) text += std::to_string(bad) + " of " + std::to_string(book.values()) + " values";
  ++sums.rounds;
  return text;
}

}  // namespace sluice_test::conservation

// --- the stress ----------------------------------------------------------------------------------

namespace {

std::uint64_t first_seed() {
  if (const char* const given = std::getenv("SLUICE_SEED")) return std::strtoull(given, nullptr, 0);
  return std::random_device()();
}

std::chrono::duration<double> duration_of_a_case() {
  const char* const given = std::getenv("SLUICE_STRESS_SECONDS");
  const double seconds = given ? std::strtod(given, nullptr) : sanitized ? 3 : 2;
  return std::chrono::duration<double>(seconds / 2);
}

/// The first round has the seed itself, so that a round that went wrong can be had first.
void stress(bool abrupt) {
  const std::uint64_t seed = first_seed();
  std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
  totals sums;
  const stopwatch watch;
  while (sums.rounds == 0 || watch.elapsed() < duration_of_a_case()) {
    const std::uint64_t of_round = seed + sums.rounds;
    const std::string wrong = world(of_round, abrupt, sums).play();
    BOOST_REQUIRE_MESSAGE(wrong.empty(), "SLUICE_SEED=" << of_round << ": " << wrong);
  }
  const auto of = [&](fate f) { return sums.values[static_cast<unsigned>(f)]; };
  std::printf(
      "%zu rounds: %zu values sent, %zu received, %zu left in a channel, %zu handed back, %zu "
      "given away, %zu destroyed at shutdown; %zu waits cancelled; %zu bytes, %zu from cases that "
      "had lost\n",
      sums.rounds, of(fate::sent), of(fate::received), of(fate::buffered), of(fate::returned),
      of(fate::told), of(fate::destroyed) - of(fate::told), sums.cancelled.load(),
      sums.bytes.load(), sums.lost_bytes.load());
  BOOST_TEST(of(fate::sent) > 0u);
  BOOST_TEST(of(fate::received) > 0u);
  BOOST_TEST(sums.bytes > 0u);
}

}  // namespace

BOOST_AUTO_TEST_CASE(every_value_is_received_once_or_its_sender_knows_better) {
  stress(false);
}

BOOST_AUTO_TEST_CASE(every_value_has_one_fate_when_the_context_is_destroyed_in_mid_traffic) {
  stress(true);
}
