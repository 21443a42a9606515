#include <sluice/channel.hpp>

#include <boost/asio/error.hpp>

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

void close_channel(channel_core* core) {
  if (!core) throw_error(error::nil_channel, "sluice: close");
  if (!core->close()) throw_error(error::closed, "sluice: close");
}

target_ptr current_target_or_none() {
  const goroutine* const g = this_goroutine_or_null();
  return g ? g->start_target() : target_ptr();
}

asio::any_io_executor channel_handle::get_executor() const {
  if (!ref_.get()) throw_error(error::nil_channel, "sluice: get_executor");
  const target_ptr where = ref_->where();
  if (!where) throw_error(error::no_executor, "sluice: get_executor");
  return where->to_any_executor();
}

}  // namespace sluice::detail
