#pragma once

#include "../model/go_rules.hpp"

#include <cstddef>
#include <stdexcept>
#include <utility>

// What the fuzzed channels carry: what is copied as bytes, what is moved and counted, and what may
// throw when it is moved. Each is a value of the model's.
namespace sluice_test::fuzz {

/// A value that is in one place, and is counted there.
template <bool MayThrow>
class counted {
 public:
  explicit counted(model::value v) noexcept : value_(v) { ++there; }
  counted(counted&& other) noexcept(!MayThrow) {
    if constexpr (MayThrow)
      if (fuse > 0 && --fuse == 0) throw std::runtime_error("a move that fails");
    value_ = std::exchange(other.value_, gone);
  }
  ~counted() {
    if (value_ != gone) --there;
  }

  [[nodiscard]] model::value value() const noexcept { return value_; }

  /// How many values there are.
  static inline std::size_t there = 0;
  /// The move that throws, counted from now; 0 for none.
  static inline int fuse = 0;

 private:
  static constexpr model::value gone = 0;
  model::value value_ = gone;
};

using solid = counted<false>;
using fragile = counted<true>;

template <class Element>
inline constexpr bool is_counted = !std::is_arithmetic_v<Element>;

template <class Element>
model::value value_of(const Element& e) {
  if constexpr (is_counted<Element>)
    return e.value();
  else
    return e;
}

}  // namespace sluice_test::fuzz
