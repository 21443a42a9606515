#pragma once

#include <sluice/channel.hpp>
#include <sluice/context.hpp>

#include "../support.hpp"
#include "../time_helpers.hpp"

#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/cancellation_type.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>
#include <vector>

// The stress of conservation: what travels in it, values with an identity and bytes in a known
// order, and the world in which it does.
namespace sluice_test::conservation {

enum class fate : unsigned {
  sent,       // its sender was told so
  received,   // a receiver has looked at it
  buffered,   // it was in a channel in the end
  returned,   // its sender has it, and was told that it was not sent
  told,       // its sender was told that it was not sent, but has given it away
  destroyed,  // and nobody had looked at it
};
constexpr unsigned fates = 6;

/// How often each fate has met each value.
class ledger {
 public:
  [[nodiscard]] std::uint32_t open() noexcept { return next_.fetch_add(1); }
  [[nodiscard]] bool full() const noexcept { return next_.load() > capacity - margin; }
  void note(fate f, std::uint32_t id) noexcept {
    entries_[id].fetch_add(1U << (4 * static_cast<unsigned>(f)));
  }

  [[nodiscard]] std::uint32_t values() const noexcept { return next_.load(); }
  [[nodiscard]] unsigned count(fate f, std::uint32_t id) const noexcept {
    return entries_[id].load() >> (4 * static_cast<unsigned>(f)) & 0xf;
  }

 private:
  static constexpr std::uint32_t capacity = 1 << 17;
  static constexpr std::uint32_t margin = 1 << 12;

  std::atomic<std::uint32_t> next_{0};
  std::vector<std::atomic<std::uint32_t>> entries_ =
      std::vector<std::atomic<std::uint32_t>>(capacity);
};

/// A move-only value with an identity.
class cargo {
 public:
  explicit cargo(ledger& l) noexcept : ledger_(&l), id_(l.open()) {}
  cargo(cargo&& other) noexcept : ledger_(std::exchange(other.ledger_, nullptr)), id_(other.id_) {}
  cargo& operator=(cargo&& other) noexcept {
    std::swap(ledger_, other.ledger_);
    std::swap(id_, other.id_);
    return *this;
  }
  ~cargo() { meet(fate::destroyed); }

  [[nodiscard]] std::uint32_t id() const noexcept { return id_; }
  [[nodiscard]] bool here() const noexcept { return ledger_ != nullptr; }
  void meet(fate f) noexcept {
    if (ledger_) std::exchange(ledger_, nullptr)->note(f, id_);
  }

 private:
  ledger* ledger_;
  std::uint32_t id_;
};

inline void look_at(std::optional<cargo>& v) {
  if (v) v->meet(fate::received);
}

/// What a sender has to send: first what came back to it.
class hand {
 public:
  explicit hand(ledger& l) noexcept : ledger_(l) {}

  [[nodiscard]] cargo take() {
    if (held_.empty()) return cargo(ledger_);
    cargo c = std::move(held_.back());
    held_.pop_back();
    return c;
  }
  void put(cargo&& c) { held_.push_back(std::move(c)); }
  void note(fate f, std::uint32_t id) noexcept { ledger_.note(f, id); }
  /// The sender ends; without this call it was destroyed.
  void end() noexcept {
    for (auto& c : held_) c.meet(fate::returned);
  }

 private:
  ledger& ledger_;
  std::vector<cargo> held_;
};

/// An operation that sends a value; its sender has it back if it was not sent.
class parcel {
 public:
  parcel(const channel<cargo>& to, hand& from) : parcel(to, from, from.take()) {}
  parcel(const parcel&) = delete;
  parcel& operator=(const parcel&) = delete;
  ~parcel() {
    if (operation.value().here()) hand_.put(std::move(operation.value()));
  }

  void sent() noexcept { hand_.note(fate::sent, id_); }

 private:
  parcel(const channel<cargo>& to, hand& from, cargo c)
      : hand_(from), id_(c.id()), operation(to.send(std::move(c))) {}

  hand& hand_;
  const std::uint32_t id_;

 public:
  sluice::send_operation<cargo> operation;
};

constexpr std::size_t longest_write = 64;

/// How many bytes were written to a stream, and read.
struct tally {
  std::uint64_t written = 0;
  std::uint64_t read = 0;
};

/// Bytes in a known order from a writer to a reader.
struct stream {
  stream(asio::io_context& io, tally& t) : near(io), far(io), bytes(t) {
    asio::local::connect_pair(near, far);
  }

  [[nodiscard]] static char at(std::uint64_t position) noexcept {
    return static_cast<char>(position * 2654435761U >> 20);
  }

  asio::local::stream_protocol::socket near;
  asio::local::stream_protocol::socket far;
  std::array<char, longest_write> incoming{};
  std::array<char, longest_write> outgoing{};
  tally& bytes;
};

/// Cancels one goroutine or one chain of callbacks, on its strand.
class canceller {
 public:
  explicit canceller(asio::io_context& io) : strand(asio::make_strand(io)) {}
  canceller(const canceller&) = delete;
  canceller& operator=(const canceller&) = delete;

  void cancel(asio::cancellation_type type) {
    asio::post(strand, [this, type] {
      if (!ended) signal.emit(type);
    });
  }

  const asio::strand<asio::io_context::executor_type> strand;
  asio::cancellation_signal signal;
  bool ended = false;
};

/// What has been seen in all rounds.
struct totals {
  std::size_t rounds = 0;
  std::array<std::size_t, fates> values{};
  std::atomic<std::size_t> cancelled{0};
  std::atomic<std::size_t> bytes{0};
  /// Bytes that came through a losing case.
  std::atomic<std::size_t> lost_bytes{0};
};

/// One round: channels, streams and contexts, those who use them, and their end.
class world {
 public:
  world(std::uint64_t seed, bool destroyed_in_traffic, totals& t)
      : sums(t), random_(seed), abrupt_(destroyed_in_traffic) {
    threads_ = std::size_t{1} << random_.below(3);
    const auto channels = 2 + random_.below(4);
    for (std::size_t i = 0; i < channels; ++i)
      channels_.push_back(
          sluice::make_channel<cargo>(std::array<std::size_t, 5>{0, 0, 1, 2, 7}[random_.below(5)]));
    for (int i = 0; i < 3; ++i)
      contexts_.push_back(sluice::with_cancel(sluice::context::background()));
  }

  /// Plays it to its end. @return What went wrong.
  [[nodiscard]] std::string play();

  [[nodiscard]] bool goes_on() const noexcept { return !over_.load() && !book.full(); }
  [[nodiscard]] const channel<cargo>& pick(random_numbers& r) const noexcept {
    return channels_[r.below(channels_.size())];
  }
  [[nodiscard]] const channel<cargo>& pick_or_nil(random_numbers& r) const noexcept {
    return r.below(8) == 0 ? nil_ : pick(r);
  }
  [[nodiscard]] sluice::context& context(random_numbers& r) noexcept {
    return contexts_[r.below(contexts_.size())].ctx;
  }
  [[nodiscard]] static std::chrono::microseconds moment(random_numbers& r) noexcept {
    return std::chrono::microseconds(r.below(300));
  }

  /// Whether an operation may end with this error.
  void check(const error_code& e) {
    if (e == aborted) ++sums.cancelled;
    wrong.expect(e == closed || e == aborted || e == timed_out || e == asio::error::eof,
                 "an operation ended with an unexpected error");
  }

  ledger book;
  findings wrong;
  totals& sums;

 private:
  void people();
  template <class Actor>
  void employ(Actor actor, bool cancelled, bool under_context);
  task<> govern(std::uint64_t seed);
  void close(const channel<cargo>& ch);
  void trade_on_a_foreign_thread();
  [[nodiscard]] std::string audit();

  random_numbers random_;
  const bool abrupt_;
  std::size_t threads_;
  std::vector<channel<cargo>> channels_;
  const channel<cargo> nil_;
  std::vector<sluice::cancellable_context> contexts_;
  std::deque<tally> streams_;
  std::atomic<bool> over_{false};
  std::optional<asio::io_context> io_;
  std::deque<canceller> cancellers_;
};

}  // namespace sluice_test::conservation
