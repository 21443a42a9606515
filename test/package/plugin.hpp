// SPDX-License-Identifier: BSL-1.0
#pragma once

#include <sluice.hpp>

#include <boost/asio.hpp>

/// A number that channels carry in memory of its sender's copy, because it has no move of its own.
class number {
 public:
  number(int n) : value_(n) {}
  number(const number& other) = default;
  number& operator=(const number& other) = default;
  ~number() { value_ = -1; }

  operator int() const { return value_; }

 private:
  int value_;
};

/// What a plugin has.
struct plugin_functions {
  /// Starts a goroutine that gives the double of each number back, then 0, and stays.
  void (*start)(boost::asio::io_context& io, sluice::receiver<number> questions,
                sluice::sender<number> answers);
  sluice::error_code closed;
};

extern "C" const plugin_functions functions;
