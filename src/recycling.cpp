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

struct cache {
  block* free[classes];
  std::size_t count[classes];
  bool closed;
};

// Trivial, so that a frame freed by another thread-local's destructor still finds it.
thread_local constinit cache local{};

struct flush_at_thread_exit {
  ~flush_at_thread_exit() {
    local.closed = true;
    for (auto*& head : local.free)
      while (head) {
        block* const b = head;
        head = b->next;
        ::operator delete(b);
      }
  }
};

void register_flush() noexcept {
  thread_local const flush_at_thread_exit flush;
  static_cast<void>(flush);
}

constexpr std::size_t class_of(std::size_t size) noexcept {
  return (size + overhead - 1) / class_size;
}

constexpr std::size_t size_of(std::size_t size_class) noexcept {
  return (size_class + 1) * class_size - overhead;
}

}  // namespace

void* allocate_recycled(std::size_t size) {
  const auto c = class_of(size);
  if (c >= classes) [[unlikely]]
    return ::operator new(size);
  if (block* const b = local.free[c]) {
    local.free[c] = b->next;
    --local.count[c];
    return b;
  }
  return ::operator new(size_of(c));
}

void deallocate_recycled(void* memory, std::size_t size) noexcept {
  const auto c = class_of(size);
  if (c >= classes || local.closed || local.count[c] >= bytes_kept_per_class / size_of(c)) {
    ::operator delete(memory);
    return;
  }
  if (local.count[c] == 0) register_flush();
  local.free[c] = ::new (memory) block{local.free[c]};
  ++local.count[c];
}

}  // namespace sluice::detail
