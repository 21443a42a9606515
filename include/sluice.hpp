// SPDX-License-Identifier: BSL-1.0
#pragma once

// From the ground up, so that compilers come to each header by the shortest way and say that.
// clang-format off
#include <sluice/error.hpp>
#include <sluice/version.hpp>
#include <sluice/executor.hpp>
#include <sluice/this_goroutine.hpp>
#include <sluice/task.hpp>
#include <sluice/go.hpp>
#include <sluice/runtime.hpp>
#include <sluice/use_task.hpp>
#include <sluice/abandon.hpp>
#include <sluice/received.hpp>
#include <sluice/channel.hpp>
#include <sluice/select.hpp>
#include <sluice/sleep.hpp>
#include <sluice/timer.hpp>
#include <sluice/timeout.hpp>
#include <sluice/context.hpp>
#include <sluice/bind_context.hpp>
#include <sluice/mutex.hpp>
#include <sluice/shared_mutex.hpp>
#include <sluice/semaphore.hpp>
#include <sluice/condition.hpp>
#include <sluice/once.hpp>
#include <sluice/singleflight.hpp>
#include <sluice/rate_limiter.hpp>
#include <sluice/wait_group.hpp>
#include <sluice/task_group.hpp>
#include <sluice/when_all.hpp>
#include <sluice/for_each.hpp>
#include <sluice/offload.hpp>
#include <sluice/worker_pool.hpp>
#include <sluice/peer_watch.hpp>
#include <sluice/server_connection.hpp>
#include <sluice/serve_options.hpp>
#include <sluice/serve.hpp>
// clang-format on
