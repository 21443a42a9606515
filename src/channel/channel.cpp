// SPDX-License-Identifier: BSL-1.0
// What the templates of `channel.hpp` have in common for all types of elements: errors, closing,
// and the executor of a channel.

#include <sluice/channel.hpp>

#include <sluice/detail/base/exceptions.hpp>

#include "base/location_text.hpp"

#include <boost/asio/error.hpp>

#include <string>
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

error_code close_channel(channel_core* core, const std::source_location& at) noexcept {
  if (!core) return error::nil_channel;
  if (!core->close(at)) return error::closed;
  return {};
}

void throw_channel_error(error_code e, const char* caller, const channel_core* core) {
  std::string text = caller;
  if (core && e == error::closed)
    text += ": the channel that was made at " + text_of(core->made_at()) + " was closed at " +
            text_of(core->closed_at());
  detail::throw_exception(system_error(e, text));
}

executor channel_handle::get_executor() const {
  if (!ref_.get()) throw_error(error::nil_channel, "sluice: get_executor");
  dispatcher_ptr where = *ref_->where();
  if (!where) throw_error(error::no_executor, "sluice: get_executor");
  return detail::executor_on(std::move(where));
}

}  // namespace sluice::detail
