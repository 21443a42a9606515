// Which ends convert to which, and what each end offers: all of it is checked by the compiler.
#include "../support.hpp"

#include <sluice/channel.hpp>

#include <boost/test/unit_test.hpp>

#include <concepts>
#include <cstddef>
#include <optional>
#include <type_traits>
#include <utility>

namespace {

using namespace sluice_test;

struct ignore {
  void operator()(auto&&...) const {}
};

template <class C, class T = int>
concept sends = requires(const C c, T v, error_code e) {
  c.send(std::move(v));
  c.try_send(std::move(v));
  c.try_send(std::move(v), e);
  c.async_send(std::move(v), ignore());
};
template <class C, class T = int>
concept sends_in_some_way = requires(C c, T v) { c.send(std::move(v)); } ||
                            requires(C c, T v) { c.try_send(std::move(v)); } ||
                            requires(C c, T v, error_code e) { c.try_send(std::move(v), e); } ||
                            requires(C c, T v) { c.async_send(std::move(v), ignore()); };

template <class C>
concept signals = requires(const C c, error_code e) {
  c.send();
  c.try_send();
  c.try_send(e);
  c.async_send(ignore());
};
template <class C>
concept signals_in_some_way = requires(C c) { c.send(); } || requires(C c) {
  c.try_send();
} || requires(C c, error_code e) { c.try_send(e); } || requires(C c) { c.async_send(ignore()); };

template <class C>
concept receives = requires(const C c, error_code e) {
  c.receive();
  c.try_receive();
  c.try_receive(e);
  c.async_receive(ignore());
};
template <class C>
concept receives_in_some_way =
    requires(C c) { c.receive(); } || requires(C c) { c.try_receive(); } ||
    requires(C c, error_code e) { c.try_receive(e); } ||
    requires(C c) { c.async_receive(ignore()); };

template <class C>
concept closes = requires(const C c) { c.close(); };
template <class C>
concept counts = requires(const C c) {
  { c.size() } -> std::same_as<std::size_t>;
  { c.capacity() } -> std::same_as<std::size_t>;
  static_cast<bool>(c);
};

template <class From, class To>
concept becomes = std::convertible_to<From, To> && std::assignable_from<To&, From>;
template <class From, class To>
concept never_becomes = !std::constructible_from<To, From> && !std::convertible_to<From, To> &&
                        !std::is_assignable_v<To&, From>;

/// Every rule for channels of one element type.
template <class T>
constexpr bool directions_hold() {
  static_assert(becomes<channel<T>, sender<T>> && becomes<channel<T>&, sender<T>>);
  static_assert(becomes<channel<T>, receiver<T>> && becomes<const channel<T>&, receiver<T>>);
  static_assert(never_becomes<sender<T>, channel<T>> && never_becomes<receiver<T>, channel<T>>);
  static_assert(never_becomes<sender<T>, receiver<T>> && never_becomes<receiver<T>, sender<T>>);

  static_assert(receives<channel<T>> && receives<receiver<T>>);
  static_assert(!receives_in_some_way<sender<T>>);
  static_assert(closes<channel<T>> && closes<sender<T>> && !closes<receiver<T>>);
  static_assert(counts<channel<T>> && counts<sender<T>> && counts<receiver<T>>);
  static_assert(!sends_in_some_way<receiver<T>> && !signals_in_some_way<receiver<T>>);

  static_assert(std::is_nothrow_default_constructible_v<channel<T>>);
  static_assert(std::copyable<channel<T>> && std::copyable<sender<T>> &&
                std::copyable<receiver<T>>);
  static_assert(std::is_nothrow_move_constructible_v<channel<T>>);
  static_assert(std::is_nothrow_move_assignable_v<channel<T>>);
  static_assert(!std::convertible_to<channel<T>, bool>);  // only in a condition
  return true;
}

struct move_only {
  move_only(move_only&&) = default;
  explicit move_only(int) {}
};

}  // namespace

// Source: golang test/chan/perm.go
BOOST_AUTO_TEST_CASE(an_end_gives_only_its_own_direction_and_never_widens) {
  static_assert(directions_hold<int>());
  static_assert(directions_hold<move_only>());
  static_assert(directions_hold<channel<int>>());
  static_assert(directions_hold<void>());
  static_assert(sends<channel<int>> && sends<sender<int>>);
  static_assert(sends<channel<move_only>, move_only> && sends<sender<move_only>, move_only>);
  BOOST_TEST(true);
}

BOOST_AUTO_TEST_CASE(channels_of_different_elements_do_not_mix) {
  static_assert(never_becomes<channel<int>, channel<long>>);
  static_assert(never_becomes<channel<int>, sender<long>>);
  static_assert(never_becomes<channel<int>, receiver<void>>);
  static_assert(!sends_in_some_way<sender<channel<int>>, receiver<int>>);
  static_assert(sends_in_some_way<sender<sender<int>>, channel<int>>);  // narrows on the way
  BOOST_TEST(true);
}

BOOST_AUTO_TEST_CASE(a_send_needs_a_value_and_a_send_of_void_has_none) {
  static_assert(!signals_in_some_way<channel<int>> && !signals_in_some_way<sender<int>>);
  static_assert(signals<channel<void>> && signals<sender<void>>);
  static_assert(!sends_in_some_way<channel<void>> && !sends_in_some_way<sender<void>>);
  BOOST_TEST(true);
}

BOOST_AUTO_TEST_CASE(what_was_received_is_an_optional_or_a_bool_for_void) {
  using received = decltype(std::declval<channel<move_only>&>().try_receive());
  static_assert(std::same_as<received, sluice::received<move_only>>);
  static_assert(std::same_as<decltype(std::declval<receiver<void>&>().try_receive()), bool>);
  BOOST_TEST(true);
}
