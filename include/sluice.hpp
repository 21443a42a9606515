#pragma once

#include <sluice/channel.hpp>
#include <sluice/error.hpp>
#include <sluice/executor.hpp>
#include <sluice/go.hpp>
#include <sluice/task.hpp>
#include <sluice/use_task.hpp>
