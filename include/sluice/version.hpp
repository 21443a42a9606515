// SPDX-License-Identifier: BSL-1.0
#pragma once

/// The version of these headers, as Boost counts: 100000 * major + 100 * minor + patch.
#define SLUICE_VERSION 100
