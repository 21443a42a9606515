// Handles as values: what they are made for, what `try_send` takes, and handles as keys.
#include "../support.hpp"

#include <sluice/channel.hpp>

#include <boost/asio/error.hpp>
#include <boost/test/unit_test.hpp>

#include <any>
#include <array>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace {

using namespace sluice_test;

struct base {
  virtual ~base() = default;
};
struct derived : base {};
struct abstract {
  virtual ~abstract() = default;
  virtual void f() = 0;
};
struct pinned {
  pinned() = default;
  pinned(const pinned&) = delete;
};

using sluice::detail::can_be_carried;
static_assert(can_be_carried<void> && can_be_carried<int> && can_be_carried<std::unique_ptr<int>>);
static_assert(can_be_carried<std::array<int, 3>> && can_be_carried<void (*)()>);
static_assert(!can_be_carried<int&> && !can_be_carried<int&&>);
static_assert(!can_be_carried<const int> && !can_be_carried<volatile int>);
static_assert(!can_be_carried<int[3]> && !can_be_carried<void()>);
static_assert(!can_be_carried<abstract> && !can_be_carried<pinned>);

template <class C, class From>
concept sends_now = requires(const C c, From v, error_code e) {
  c.try_send(std::forward<From>(v));
  c.try_send(std::forward<From>(v), e);
};
static_assert(sends_now<channel<std::string>, const char (&)[5]>);
static_assert(sends_now<channel<long>, int&&>);
static_assert(sends_now<sender<std::any>, int&>);
static_assert(sends_now<channel<std::shared_ptr<base>>, std::shared_ptr<derived>&&>);
static_assert(!sends_now<channel<std::string>, std::string_view>, "explicit, as in send");
static_assert(!sends_now<channel<std::unique_ptr<base>>, std::unique_ptr<derived>&&>,
              "a failure could not give it back");
static_assert(!sends_now<receiver<long>, int&&>);

}  // namespace

BOOST_AUTO_TEST_SUITE(try_send)

BOOST_AUTO_TEST_CASE(converts_as_send_does) {
  const auto texts = make_channel<std::string>(2);
  texts.try_send("one");
  error_code e;
  BOOST_TEST(texts.try_send({'t', 'w', 'o'}, e));
  BOOST_TEST(!texts.try_send("three", e));
  BOOST_TEST(e == asio::error::would_block);
  BOOST_TEST(texts.try_receive().value() == "one");
  BOOST_TEST(texts.try_receive().value() == "two");

  const auto numbers = make_channel<long>(1);
  numbers.try_send(1);
  BOOST_TEST(numbers.try_receive().value() == 1);
  texts.close();
  BOOST_TEST(!texts.try_send("four", e));
  BOOST_TEST((e == sluice::error::closed));
}

BOOST_AUTO_TEST_CASE(leaves_what_it_converts_as_it_is) {
  const auto ch = make_channel<std::shared_ptr<base>>(1);
  auto value = std::make_shared<derived>();
  ch.try_send(std::move(value));
  error_code e;
  BOOST_TEST(!ch.try_send(std::move(value), e));
  BOOST_TEST((value != nullptr));
  BOOST_TEST((ch.try_receive().value() == value));
}

BOOST_AUTO_TEST_SUITE_END()

BOOST_AUTO_TEST_SUITE(handles)

BOOST_AUTO_TEST_CASE(of_one_channel_have_one_hash_and_are_one_key) {
  const auto a = make_channel<int>();
  const auto b = make_channel<int>();
  std::unordered_map<channel<int>, int> names{{a, 1}, {b, 2}, {channel<int>(), 3}};
  const channel<int> again = a;
  BOOST_TEST(names.at(again) == 1);
  BOOST_TEST(names.at(b) == 2);
  BOOST_TEST(names.at({}) == 3);
  BOOST_TEST(std::hash<sender<int>>()(a) == std::hash<channel<int>>()(a));
  BOOST_TEST(std::hash<receiver<int>>()(a) == std::hash<channel<int>>()(a));
  std::unordered_set<receiver<int>> ends{a, a, b};
  BOOST_TEST(ends.size() == 2U);
}

BOOST_AUTO_TEST_SUITE_END()
