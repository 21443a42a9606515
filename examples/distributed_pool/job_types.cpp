// SPDX-License-Identifier: BSL-1.0
#include "job_types.hpp"

#include <sluice.hpp>

#include <array>
#include <charconv>
#include <chrono>
#include <csignal>
#include <stdexcept>
#include <utility>

namespace {

sluice::task<std::string> echo(std::string text) {
  co_return text;
}

/// Stands for something that is waited for.
sluice::task<std::string> wait(std::string milliseconds) {
  unsigned ms = 0;
  const char* const end = milliseconds.data() + milliseconds.size();
  const auto [rest, error] = std::from_chars(milliseconds.data(), end, ms);
  if (error != std::errc() || rest != end)
    throw std::invalid_argument('"' + milliseconds + "\" is no number of milliseconds");
  co_await sluice::sleep_for(std::chrono::milliseconds(ms));
  co_return "waited " + milliseconds + " ms";
}

sluice::task<std::string> fail(std::string why) {
  throw std::runtime_error(why);
  co_return std::string();
}

/// Stands for a job that takes its process with it.
sluice::task<std::string> crash(std::string) {
  std::raise(SIGKILL);
  co_return std::string();
}

}  // namespace

job_function function_for(std::string_view type) {
  static constexpr std::array<std::pair<std::string_view, job_function>, 4> all{
      {{"echo", echo}, {"wait", wait}, {"fail", fail}, {"crash", crash}}};
  for (const auto& [name, f] : all)
    if (name == type) return f;
  return nullptr;
}
