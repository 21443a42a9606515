#pragma once

#include <stdexcept>

namespace sluice_test {

/// An element whose move fails when the fuse has burnt down, without having changed anything.
class fragile {
 public:
  explicit fragile(int n) : number(n) { ++alive; }
  fragile(fragile&& other) : number(other.number) {
    if (fuse > 0 && --fuse == 0) throw std::runtime_error("fragile");
    other.number = -1;
    ++alive;
  }
  ~fragile() { --alive; }

  int number;
  /// The move that throws, counted from now; 0 for none.
  static inline int fuse = 0;
  static inline int alive = 0;
};

/// Sets the fuse while it lives.
struct lit_fuse {
  explicit lit_fuse(int n) { fragile::fuse = n; }
  ~lit_fuse() { fragile::fuse = 0; }
};

}  // namespace sluice_test
