// Operations with completion handlers that launch operations of Asio's.
#include "callback_chain.hpp"

#include <boost/asio/deferred.hpp>

#include <chrono>

namespace sluice_side {
namespace {

using namespace std::chrono_literals;
using sluice::error_code;

const measure::workload select_asio("callback_select_asio", [](const measure::setting& s) {
  return run_chain(s, [](chain& c, auto then) {
    sluice::select(c.a.receive(),
                   c.gone_off.async_wait(boost::asio::deferred))([&c, then](error_code, auto r) {
      c.sum += r.index() == 1;
      then();
    });
  });
});

const measure::workload timeout_asio("callback_timeout_asio", [](const measure::setting& s) {
  return run_chain(s, [](chain& c, auto then) {
    sluice::timeout(c.gone_off.async_wait(boost::asio::deferred), 1s)([&c, then](error_code e) {
      c.sum += !e;
      then();
    });
  });
});

}  // namespace
}  // namespace sluice_side
