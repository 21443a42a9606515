// SPDX-License-Identifier: BSL-1.0
#pragma once

// Tools for tests of programs that use Sluice. No other header includes them.

#include <sluice/testing/explore.hpp>
#include <sluice/testing/network.hpp>
#include <sluice/testing/network_options.hpp>
#include <sluice/testing/simulation.hpp>
#include <sluice/testing/simulation_failure.hpp>
#include <sluice/testing/stream.hpp>
