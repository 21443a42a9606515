#include <sluice/bind_context.hpp>

namespace sluice::detail {

void context_binding::start() {
  if (!ctx_.state()) return;
  auto registration = std::make_unique<context_registration>(ctx_, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->request();
  });
  if (!registration->start()) return request();
  const std::lock_guard guard(mutex_);
  if (!completed_) registration_ = std::move(registration);
}

void context_binding::request() {
  const std::lock_guard guard(mutex_);
  if (completed_) return;
  asio::post(where_, [weak = weak_from_this()] {
    if (const auto self = weak.lock()) self->emit(asio::cancellation_type::all);
  });
}

void context_binding::emit(asio::cancellation_type type) {
  {
    const std::lock_guard guard(mutex_);
    if (completed_) return;
  }
  signal_.emit(type);
}

void context_binding::complete() noexcept {
  signal_.slot().clear();
  std::unique_ptr<context_registration> registration;
  asio::any_io_executor where;
  const std::lock_guard guard(mutex_);
  completed_ = true;
  registration.swap(registration_);
  where.swap(where_);
}

}  // namespace sluice::detail
