// What leaves `run()` for an exception that escapes a goroutine: its type, and whose it was.
#include "../support.hpp"

#include <sluice/go.hpp>
#include <sluice/this_goroutine.hpp>

#include <boost/asio/deferred.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/test/unit_test.hpp>

#include <exception>
#include <new>
#include <source_location>
#include <stdexcept>
#include <string>
#include <system_error>
#include <typeinfo>

namespace {

using namespace sluice_test;

struct own_error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// What leaves `run()` when a goroutine ends with `e`, started at `start` and named or not.
template <class E>
std::exception_ptr escaped(const E& e, const std::string& name = "reader") {
  asio::io_context io;
  sluice::go(io, [&]() -> task<> {
    if (!name.empty()) sluice::this_goroutine::set_name(name);
    co_await sluice::this_goroutine::yield();
    throw e;
  });
  try {
    io.run();
  } catch (...) {
    return std::current_exception();
  }
  return nullptr;
}

template <class E>
void leaves_with_its_origin(const E& e, const std::string& before, const std::string& after) {
  try {
    std::rethrow_exception(escaped(e));
  } catch (const std::exception& x) {
    const std::string text = x.what();
    BOOST_TEST(bool(typeid(x) == typeid(E)), typeid(x).name());
    BOOST_TEST(text.starts_with(before + (before.empty() ? "" : " ") +
                                "(in goroutine \"reader\", started at "),
               text);
    BOOST_TEST(contains(text, "escape_test.cpp:"), text);
    BOOST_TEST(text.ends_with(")" + after), text);
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(go_escape)

BOOST_AUTO_TEST_CASE(an_exception_of_the_standard_library_says_whose_it_was) {
  leaves_with_its_origin(std::runtime_error("boom"), "boom", "");
  leaves_with_its_origin(std::logic_error("boom"), "boom", "");
  leaves_with_its_origin(std::invalid_argument("boom"), "boom", "");
  leaves_with_its_origin(std::out_of_range("boom"), "boom", "");
  leaves_with_its_origin(std::length_error("boom"), "boom", "");
  leaves_with_its_origin(std::domain_error("boom"), "boom", "");
  leaves_with_its_origin(std::range_error("boom"), "boom", "");
  leaves_with_its_origin(std::overflow_error("boom"), "boom", "");
  leaves_with_its_origin(std::underflow_error("boom"), "boom", "");
}

BOOST_AUTO_TEST_CASE(a_system_error_keeps_its_code_and_its_text) {
  const auto none = std::make_error_code(std::errc::no_such_file_or_directory);
  leaves_with_its_origin(std::system_error(none, "open"), "open", ": " + none.message());
  const sluice::error_code end = asio::error::eof;
  leaves_with_its_origin(sluice::system_error(end, "read"), "read",
                         ": " + std::string(sluice::system_error(end).what()));
  leaves_with_its_origin(sluice::system_error(end), "",
                         ": " + std::string(sluice::system_error(end).what()));
  try {
    std::rethrow_exception(escaped(sluice::system_error(end, "read")));
  } catch (const sluice::system_error& x) {
    BOOST_TEST(x.code() == end);
  }
}

BOOST_AUTO_TEST_CASE(an_error_of_asio_says_whose_it_was) {
  asio::io_context io;
  asio::ip::tcp::socket closed(io);
  sluice::go(io, [&]() -> task<> {
    closed.set_option(asio::ip::tcp::no_delay(true));
    co_return;
  });
  BOOST_CHECK_EXCEPTION(io.run(), sluice::system_error, [](const sluice::system_error& x) {
    return x.code() == asio::error::bad_descriptor &&
           contains(x.what(), "set_option (in a goroutine started at ") &&
           contains(x.what(), "escape_test.cpp:");
  });
}

BOOST_AUTO_TEST_CASE(one_of_another_type_leaves_as_it_was_thrown) {
  BOOST_CHECK_EXCEPTION(std::rethrow_exception(escaped(own_error("boom"))), own_error,
                        [](const own_error& x) { return x.what() == std::string("boom"); });
  BOOST_CHECK_THROW(std::rethrow_exception(escaped(std::bad_alloc())), std::bad_alloc);
  BOOST_CHECK_EXCEPTION(std::rethrow_exception(escaped(7)), int, [](int x) { return x == 7; });
}

BOOST_AUTO_TEST_CASE(the_start_is_named_not_the_last_wait) {
  unsigned start = 0;
  asio::io_context io;
  const auto body = [](asio::io_context& context) -> task<> {
    asio::steady_timer timer(context);
    co_await timer.async_wait(asio::deferred);
    throw std::runtime_error("boom");
  };
  start = std::source_location::current().line() + 1;
  sluice::go(io, [&] { return body(io); });
  BOOST_CHECK_EXCEPTION(io.run(), std::runtime_error, [&](const std::runtime_error& x) {
    return contains(x.what(), "escape_test.cpp:" + std::to_string(start) + ")");
  });
}

BOOST_AUTO_TEST_SUITE_END()
