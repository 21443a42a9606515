#pragma once

#include <sluice/channel.hpp>

#include "../support.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/local/connect_pair.hpp>
#include <boost/asio/local/stream_protocol.hpp>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

// What travels in the stress of conservation: values with an identity, and bytes in a known order.
namespace sluice_test::conservation {

using sluice::channel;

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

}  // namespace sluice_test::conservation
