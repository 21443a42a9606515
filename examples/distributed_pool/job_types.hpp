// SPDX-License-Identifier: BSL-1.0
// What the workers of this example can do.
#pragma once

#include <sluice/task.hpp>

#include <string>
#include <string_view>

/// Does one job. @return Its result. What it throws is why the job has failed.
using job_function = sluice::task<std::string> (*)(std::string payload);

/// The function for jobs of a type; null if there is none.
[[nodiscard]] job_function function_for(std::string_view type);
