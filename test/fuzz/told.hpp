#pragma once

#include "../model/go_rules.hpp"

#include <sluice/error.hpp>

#include <boost/asio/error.hpp>

#include <exception>
#include <optional>
#include <stdexcept>

namespace sluice_test::fuzz {

/// What an operation of the library has told those who began it.
struct told {
  /// How often it has ended.
  int ends = 0;
  /// Nothing if an element could not be moved.
  std::optional<model::outcome> how;
  /// The case, if that was told.
  std::optional<model::number> which;
  std::optional<model::value> got;

  void end(model::number i, const sluice::error_code& e, std::optional<model::value> v = {}) {
    end(e);
    which = i;
    got = v;
  }
  void end(const sluice::error_code& e) {
    ++ends;
    how = outcome_of(e);
  }
  void end_without_waiting() {
    ++ends;
    how = model::outcome::would_wait;
  }
  /// With the exception that is being handled.
  void fail() {
    try {
      throw;
    } catch (const sluice::system_error& x) {
      end(x.code());
    } catch (const std::runtime_error&) {
      ++ends;
      how.reset();
    }
  }
  void fail(const std::exception_ptr& e) {
    try {
      std::rethrow_exception(e);
    } catch (...) {
      fail();
    }
  }

 private:
  static std::optional<model::outcome> outcome_of(const sluice::error_code& e) {
    if (!e) return model::outcome::done;
    if (e == sluice::error::closed) return model::outcome::closed;
    if (e == sluice::error::deadline_exceeded) return model::outcome::deadline;
    if (e == boost::asio::error::operation_aborted) return model::outcome::cancelled;
    if (e == boost::asio::error::timed_out) return model::outcome::timed_out;
    if (e == boost::asio::error::would_block) return model::outcome::would_wait;
    if (e == sluice::error::move_failed) return {};
    throw std::logic_error("an operation ended with the error " + e.message());
  }
};

}  // namespace sluice_test::fuzz
