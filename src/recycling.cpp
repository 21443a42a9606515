#include <sluice/detail/recycling.hpp>

#include <new>

namespace sluice::detail {

namespace {

constexpr std::size_t class_size = 64;
constexpr std::size_t overhead = 8;  // of malloc, for each block
constexpr std::size_t classes = 16;
constexpr std::size_t bytes_kept_per_class = std::size_t{128} * 1024;

struct block {
  block* next;
};

constexpr std::size_t class_of(std::size_t size) noexcept {
  return (size + overhead - 1) / class_size;
}

constexpr std::size_t size_of(std::size_t size_class) noexcept {
  return (size_class + 1) * class_size - overhead;
}

struct cache {
  enum class phase : unsigned char { unused, open, closed };

  block* free[classes];
  /// How many more blocks of each class are kept; none before the first and after the last use.
  std::size_t room[classes];
  phase now;
};

// Trivial, so that a frame freed by another thread-local's destructor still finds it.
thread_local constinit cache local{};

struct flush_at_thread_exit {
  ~flush_at_thread_exit() {
    local.now = cache::phase::closed;
    for (std::size_t c = 0; c < classes; ++c) {
      local.room[c] = 0;
      while (block* const b = local.free[c]) {
        local.free[c] = b->next;
        ::operator delete(b);
      }
    }
  }
};

// Whether there is room now where there was none.
[[gnu::noinline]] bool make_room() noexcept {
  if (local.now != cache::phase::unused) return false;
  thread_local const flush_at_thread_exit flush;
  static_cast<void>(flush);
  local.now = cache::phase::open;
  for (std::size_t c = 0; c < classes; ++c) local.room[c] = bytes_kept_per_class / size_of(c);
  return true;
}

}  // namespace

void* allocate_recycled(std::size_t size) {
  const auto c = class_of(size);
  if (c >= classes) [[unlikely]]
    return ::operator new(size);
  if (block* const b = local.free[c]) {
    local.free[c] = b->next;
    ++local.room[c];
    return b;
  }
  return ::operator new(size_of(c));
}

void deallocate_recycled(void* memory, std::size_t size) noexcept {
  const auto c = class_of(size);
  if (c >= classes || (local.room[c] == 0 && !make_room())) {
    ::operator delete(memory);
    return;
  }
  --local.room[c];
  local.free[c] = ::new (memory) block{local.free[c]};
}

}  // namespace sluice::detail
