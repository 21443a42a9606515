// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice/detail/base/decl.hpp>
#include <sluice/detail/base/exceptions.hpp>
#include <sluice/detail/base/stop.hpp>
#include <sluice/version.hpp>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/version.hpp>
#if !defined(SLUICE_STANDALONE_ASIO)
#include <boost/version.hpp>
#endif

// What the layout of shared types depends on, as a name that every translation unit with types of
// Asio's refers to and the library defines: one that was built otherwise is refused by the linker,
// whose message shows it.

#if defined(SLUICE_BUILT_WITH_BOOST) && SLUICE_BUILT_WITH_BOOST != BOOST_VERSION
#error "Sluice was built with another Boost than the one whose headers are found here"
#endif

namespace sluice {

// Types that are not exported would keep the name that is made of them from being so.
namespace detail SLUICE_DECL {

template <int Major, int Minor>
struct sluice_version;
template <int Major, int Minor>
struct boost_version;
struct without_boost;
#if defined(SLUICE_STANDALONE_ASIO)
using boost_used = without_boost;
#else
using boost_used = boost_version<BOOST_VERSION / 100'000, BOOST_VERSION / 100 % 1000>;
#endif
template <int Number>
struct asio_version;

struct io_uring_for_everything;
struct io_uring_for_files;
struct io_completion_ports;
struct epoll;
struct kqueue;
struct dev_poll;
struct posix_select;
#if defined(BOOST_ASIO_HAS_IO_URING_AS_DEFAULT)
using asio_backend = io_uring_for_everything;
#elif defined(BOOST_ASIO_HAS_IO_URING)
using asio_backend = io_uring_for_files;
#elif defined(BOOST_ASIO_HAS_IOCP)
using asio_backend = io_completion_ports;
#elif defined(BOOST_ASIO_HAS_EPOLL)
using asio_backend = epoll;
#elif defined(BOOST_ASIO_HAS_KQUEUE)
using asio_backend = kqueue;
#elif defined(BOOST_ASIO_HAS_DEV_POLL)
using asio_backend = dev_poll;
#else
using asio_backend = posix_select;
#endif

struct threads;
struct no_threads;
#if defined(BOOST_ASIO_HAS_THREADS)
using asio_threads = threads;
#else
using asio_threads = no_threads;
#endif

struct handlers;
struct tracked_handlers;
#if defined(BOOST_ASIO_ENABLE_HANDLER_TRACKING) || defined(BOOST_ASIO_CUSTOM_HANDLER_TRACKING)
using asio_handlers = tracked_handlers;
#else
using asio_handlers = handlers;
#endif

// Asio finds a context's services by it.
struct rtti;
struct no_rtti;
#if defined(BOOST_ASIO_NO_TYPEID)
using asio_rtti = no_rtti;
#else
using asio_rtti = rtti;
#endif

// Asio keeps exceptions for each thread.
struct exceptions;
struct no_exceptions;
#if defined(SLUICE_NO_EXCEPTIONS)
using exceptions_used = no_exceptions;
#else
using exceptions_used = exceptions;
#endif

template <int Kept>
struct recycled_blocks;
#if defined(BOOST_ASIO_DISABLE_SMALL_BLOCK_RECYCLING)
using asio_blocks = recycled_blocks<0>;
#else
using asio_blocks = recycled_blocks<BOOST_ASIO_RECYCLING_ALLOCATOR_CACHE_SIZE>;
#endif

template <bool Found>
struct stop_tokens;

struct plain_containers;
struct debug_containers;
#if defined(_GLIBCXX_DEBUG)
using standard_containers = debug_containers;
#else
using standard_containers = plain_containers;
#endif

template <class... Settings>
struct built_with;

/// Defined for the library's own settings.
template <class BuiltWith>
void library() noexcept;

using these_settings =
    built_with<sluice_version<SLUICE_VERSION / 100'000, SLUICE_VERSION / 100 % 1000>, boost_used,
               asio_version<BOOST_ASIO_VERSION>, asio_backend, asio_threads, asio_handlers,
               asio_rtti, exceptions_used, asio_blocks, standard_containers,
               stop_tokens<has_stop_tokens>>;

}  // namespace detail SLUICE_DECL

namespace detail {

template <void (*Name)() noexcept>
struct refer_to {
#if defined(__ELF__) && __has_cpp_attribute(gnu::retain)
  [[gnu::retain]]
#endif
  [[gnu::used]] static constexpr void (*name)() noexcept = Name;
};

template struct refer_to<&library<these_settings>>;

}  // namespace detail

}  // namespace sluice
