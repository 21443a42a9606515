#include <sluice/channel.hpp>

#include <boost/asio/error.hpp>

#include <utility>

namespace sluice::detail {

error_code channel_error(channel_core::result r) noexcept {
  switch (r) {
    case channel_core::result::closed:
      return error::closed;
    case channel_core::result::would_block:
      return asio::error::would_block;
    case channel_core::result::done:
      break;
  }
  return {};
}

error_code close_channel(channel_core* core) noexcept {
  if (!core) return error::nil_channel;
  if (!core->close()) return error::closed;
  return {};
}

executor channel_handle::get_executor() const {
  if (!ref_.get()) throw_error(error::nil_channel, "sluice: get_executor");
  target_ptr where = *ref_->where();
  if (!where) throw_error(error::no_executor, "sluice: get_executor");
  return executor(std::move(where));
}

}  // namespace sluice::detail
