#pragma once

#include "rounds.hpp"

#include <boost/test/tools/assertion_result.hpp>
#include <boost/test/tree/decorator.hpp>
#include <boost/test/tree/test_unit.hpp>

namespace sluice_test {

/// A decorator for cases that no sanitizer can bear. With `enable_if` they would run all the same:
/// `--run_test`, which names the suite of a file, enables all that is in it.
inline auto unless_sanitized() {
  return boost::unit_test::precondition([](boost::unit_test::test_unit_id) {
    boost::test_tools::assertion_result result(!sanitized);
    result.message() << "built with a sanitizer";
    return result;
  });
}

}  // namespace sluice_test
