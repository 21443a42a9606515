#pragma once

#include <sluice/detail/channel/channel_core.hpp>
#include <sluice/error.hpp>

#include <source_location>
#include <utility>

// What a handle of a channel holds, and what it asks of the channel.

namespace sluice::detail {

/// A counted reference to a channel; null for a nil channel.
class channel_ref {
 public:
  channel_ref() noexcept = default;
  explicit channel_ref(channel_core& core) noexcept : core_(&core) {}
  channel_ref(const channel_ref& other) noexcept : core_(other.core_) {
    if (core_) core_->retain();
  }
  channel_ref(channel_ref&& other) noexcept : core_(std::exchange(other.core_, nullptr)) {}
  channel_ref& operator=(channel_ref other) noexcept {
    std::swap(core_, other.core_);
    return *this;
  }
  ~channel_ref() {
    if (core_) core_->release();
  }

  [[nodiscard]] channel_core* get() const noexcept { return core_; }
  [[nodiscard]] channel_core* operator->() const noexcept { return core_; }
  friend bool operator==(const channel_ref&, const channel_ref&) noexcept = default;

 private:
  channel_core* core_ = nullptr;
};

[[nodiscard]] error_code channel_error(channel_core::result r) noexcept;
/// Closes a channel. @return `error::nil_channel` or `error::closed` if that cannot be.
[[nodiscard]] error_code close_channel(channel_core* core, const std::source_location& at) noexcept;
/// Throws what a call of a handle ends with; for a closed channel with where it was made and
/// closed.
[[noreturn]] void throw_channel_error(error_code e, const char* caller, const channel_core* core);

}  // namespace sluice::detail
