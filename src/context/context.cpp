// SPDX-License-Identifier: BSL-1.0
// What the public functions of contexts do. A context that was done once stays so.

#include <sluice/context.hpp>

#include <boost/asio/cancellation_type.hpp>

#include <mutex>

namespace sluice {

cancellable_context with_cancel(context parent) {
  const auto state =
      detail::context_ref::adopt(detail::context_state::make(detail::access::take_state(parent)));
  return {detail::access::make<context>(state, detail::access::values_of(parent)),
          detail::access::make<cancel_function>(state)};
}

cancellable_context with_deadline(context parent, clock::time_point t, std::exception_ptr cause) {
  const auto at = detail::current_start_point("sluice::with_deadline");
  auto result = with_cancel(std::move(parent));
  detail::access::state_of(result.ctx)->set_deadline(at.where, t, std::move(cause));
  return result;
}

cancellable_context merge_contexts(const std::vector<context>& parents) {
  auto result = with_cancel(parents.empty() ? context::background() : parents.front());
  for (std::size_t i = 1; i < parents.size(); ++i)
    if (const auto& other = detail::access::state_of(parents[i]))
      detail::access::state_of(result.ctx)->join(*other.get());
  return result;
}

cancellable_context with_slot(context parent, asio::cancellation_slot slot) {
  auto result = with_cancel(std::move(parent));
  if (slot.is_connected())
    slot.assign([canceller = detail::context_canceller(
                     *detail::access::state_of(result.ctx).get())](asio::cancellation_type type) {
      if (type != asio::cancellation_type::none)
        canceller.cancel(asio::error::operation_aborted, nullptr);
    });
  return result;
}

#if defined(__cpp_lib_jthread)
cancellable_context with_stop_token(context parent, std::stop_token token) {
  auto result = with_cancel(std::move(parent));
  if (!token.stop_possible()) return result;
  const auto cancel = [canceller =
                           detail::context_canceller(*detail::access::state_of(result.ctx).get())] {
    canceller.cancel(asio::error::operation_aborted, nullptr);
  };
  detail::access::state_of(result.ctx)
      ->keep(std::make_shared<std::stop_callback<decltype(cancel)>>(std::move(token), cancel));
  return result;
}

std::stop_token stop_token_of(const context& ctx) {
  return detail::access::state_of(ctx) ? detail::access::state_of(ctx)->stop_token()
                                       : std::stop_source().get_token();
}
#endif

}  // namespace sluice
