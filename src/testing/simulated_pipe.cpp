// SPDX-License-Identifier: BSL-1.0
// One direction of a connection in memory. Whoever changes what the other end waits for tells it.

#include <sluice/detail/testing/simulated_pipe.hpp>

#include <boost/asio/error.hpp>

#include <algorithm>
#include <utility>

namespace sluice::detail {

simulated_pipe::simulated_pipe(const executor& ex, std::shared_ptr<const pipe_chances> chances,
                               std::shared_ptr<const simulated_link> link)
    : chances_(std::move(chances)),
      link_(std::move(link)),
      readable_(make_channel<bool>(ex, 1)),
      writable_(make_channel<bool>(ex, 1)),
      when_broken_(make_channel<bool>(ex, 1)) {}

simulated_pipe::outlook simulated_pipe::can_read() const noexcept {
  if (broken_ || reader_ended_) return {true};
  if (!link_->up) return {};
  time_point arrives = time_point::max();
  if (!segments_.empty())
    arrives = segments_.front().arrives;
  else if (writer_ended_)
    arrives = end_arrives_;
  return {arrives <= chances_->now(), arrives};
}

error_code simulated_pipe::read(std::span<std::byte> to, std::size_t& n) {
  if (broken_) return asio::error::connection_reset;
  if (reader_ended_ || segments_.empty()) return asio::error::eof;
  segment& first = segments_.front();
  n = chances_->part_of(std::min(to.size(), first.bytes.size() - first.read));
  std::copy_n(first.bytes.begin() + static_cast<std::ptrdiff_t>(first.read), n, to.begin());
  first.read += n;
  on_the_way_ -= n;
  if (first.read == first.bytes.size()) segments_.pop_front();
  tell(writable_);
  return {};
}

std::size_t simulated_pipe::available() const noexcept {
  if (broken_ || reader_ended_ || !link_->up) return 0;
  const auto now = chances_->now();
  std::size_t n = 0;
  for (const auto& s : segments_)
    if (s.arrives <= now) n += s.bytes.size() - s.read;
  return n;
}

peer simulated_pipe::look_at_writer() const noexcept {
  if (broken_) return peer::gone;
  const bool ended = writer_ended_ && link_->up && end_arrives_ <= chances_->now();
  return ended ? peer::has_ended_its_stream : peer::there;
}

bool simulated_pipe::can_write() const noexcept {
  return broken_ || reader_ended_ || writer_ended_ || on_the_way_ < most_on_the_way;
}

// What comes later arrives later.
error_code simulated_pipe::write(std::span<const std::byte> from, std::size_t& n) {
  if (!broken_ && !reader_ended_ && !writer_ended_ && chances_->breaks()) break_off();
  if (broken_) return asio::error::connection_reset;
  if (reader_ended_ || writer_ended_) return asio::error::broken_pipe;
  n = chances_->part_of(std::min(from.size(), most_on_the_way - on_the_way_));
  const auto part = from.first(n);
  const time_point last = segments_.empty() ? time_point::min() : segments_.back().arrives;
  segments_.push_back(
      {{part.begin(), part.end()}, 0, std::max(last, chances_->now() + chances_->latency())});
  on_the_way_ += n;
  tell(readable_);
  return {};
}

void simulated_pipe::end_writing() noexcept {
  if (std::exchange(writer_ended_, true)) return;
  end_arrives_ = chances_->now() + chances_->latency();
  tell(readable_);
}

void simulated_pipe::end_reading() noexcept {
  reader_ended_ = true;
  tell(readable_);
  tell(writable_);
}

void simulated_pipe::connect(simulated_pipe& there, simulated_pipe& back) noexcept {
  there.opposite_ = back.weak_from_this();
  back.opposite_ = there.weak_from_this();
}

void simulated_pipe::break_off() noexcept {
  if (std::exchange(broken_, true)) return;
  if (const auto opposite = opposite_.lock()) opposite->break_off();
  tell(readable_);
  tell(writable_);
  tell(when_broken_);
}

void simulated_pipe::cancel_read() noexcept {
  ++reads_cancelled_;
  tell(readable_);
  tell(when_broken_);
}

void simulated_pipe::cancel_write() noexcept {
  ++writes_cancelled_;
  tell(writable_);
}

void simulated_pipe::link_has_changed() noexcept {
  tell(readable_);
}

void simulated_pipe::tell(const channel<bool>& who) noexcept {
  error_code was_told_before;
  static_cast<void>(who.try_send(true, was_told_before));
}

}  // namespace sluice::detail
