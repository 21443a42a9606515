// SPDX-License-Identifier: BSL-1.0
// The texts of the library's error codes, and the functions that throw them. Each code has one
// text; `deadline_exceeded` also compares equal to the general condition `timed_out`.

#include <sluice/error.hpp>

#include <sluice/detail/base/exceptions.hpp>

namespace sluice {

namespace {

class category final : public boost::system::error_category {
 public:
#if !defined(SLUICE_STANDALONE_ASIO)
  // By the number, the category of another copy of the library in this process is the same.
  constexpr category() noexcept : error_category(0x8f3c61d2b7a05e94) {}
#endif

  const char* name() const noexcept override { return "sluice"; }

  std::string message(int value) const override {
    switch (static_cast<error>(value)) {
      case error::closed:
        return "channel is closed";
      case error::nil_channel:
        return "nil channel";
      case error::no_executor:
        return "no executor to run on; for a handler: asio::bind_executor(io, handler)";
      case error::not_in_goroutine:
        return "called outside a goroutine";
      case error::move_failed:
        return "moving the element threw";
      case error::deadline_exceeded:
        return "context deadline exceeded";
      case error::initiation_failed:
        return "starting the operation threw";
    }
    return "unknown sluice error";
  }

  boost::system::error_condition default_error_condition(int value) const noexcept override {
    if (static_cast<error>(value) == error::deadline_exceeded)
      return boost::system::errc::make_error_condition(boost::system::errc::timed_out);
    return {value, *this};
  }
};

}  // namespace

const boost::system::error_category& sluice_category() noexcept {
  static constinit const category instance;
  return instance;
}

std::string describe(const std::exception_ptr& e) {
  return detail::visit_exception<system_error>(
      e, [](const system_error& failure) { return failure.code().message(); },
      [&e] {
        return detail::visit_exception<std::exception>(
            e, [](const std::exception& failure) { return std::string(failure.what()); },
            [] { return std::string("an exception that is no std::exception"); });
      });
}

namespace detail {

void throw_error(error e, const char* where) {
  detail::throw_exception(system_error(make_error_code(e), where));
}
void throw_error(const error_code& e, const char* where) {
  detail::throw_exception(system_error(e, where));
}

}  // namespace detail

}  // namespace sluice
