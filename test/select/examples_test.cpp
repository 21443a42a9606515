// What the founding programs with a select print, and when they have ended.
#include "../names.hpp"
#include "../child_process.hpp"

#include <boost/test/unit_test.hpp>

#include <chrono>
#include <string>

namespace {

using namespace sluice_test;

/// Runs an example to its end, checks that it succeeds, and gives what it printed.
std::string output_of(const std::string& example) {
  child_process program({std::string(SLUICE_EXAMPLES_DIR "/") + example});
  const std::string output = program.read_all();
  BOOST_TEST(program.wait() == 0, example << " failed");
  return output;
}

}  // namespace

BOOST_AUTO_TEST_SUITE(examples)

BOOST_AUTO_TEST_CASE(select_two_channels_prints_each_message_when_it_comes) {
  const auto started = steady::now();
  const std::string output = output_of("select_two_channels");
  const auto took = steady::now() - started;
  BOOST_TEST(output == "Reçu : Message de ch1\nReçu : Message de ch2\n");
  BOOST_TEST((took >= 2s));
  BOOST_TEST((took < 3s));  // the waits overlap
}

BOOST_AUTO_TEST_CASE(select_default_does_not_wait_for_a_message) {
  BOOST_TEST(output_of("select_default") == "Aucun message, on continue\n");
}

BOOST_AUTO_TEST_SUITE_END()
