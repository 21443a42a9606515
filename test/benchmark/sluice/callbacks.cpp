// Operations with completion handlers, each begun by the handler of the one before.
#include "callback_chain.hpp"

#include <chrono>
#include <optional>

namespace sluice_side {
namespace {

using namespace std::chrono_literals;
using sluice::error_code;
const measure::workload ready("callback_ready", [](const measure::setting& s) {
  return run_chain(s, [](chain& c, auto then) {
    c.a.async_send(1, [&c, then](error_code) {
      c.a.async_receive([&c, then](error_code, std::optional<value> v) {
        c.sum += *v;
        then();
      });
    });
  });
});

const measure::workload parking("callback_parking", [](const measure::setting& s) {
  return run_chain(s, [](chain& c, auto then) {
    c.a.async_receive([&c, then](error_code, std::optional<value> v) {
      c.sum += *v;
      then();
    });
    c.a.async_send(1, [](error_code) {});
  });
});

/// Of two channels one has a value when the select begins, or gets one when it waits.
template <bool Ready>
measure::results select_of_two(const measure::setting& s) {
  return run_chain(s, [](chain& c, auto then) {
    if (Ready) c.a.try_send(1);
    sluice::select(c.a.receive(), c.b.receive())([&c, then](error_code, auto r) {
      c.sum += *get<0>(r);
      then();
    });
    if (!Ready) c.a.try_send(1);
  });
}
const measure::workload select_ready("callback_select_2_ready", select_of_two<true>);
const measure::workload select_parking("callback_select_2_parking", select_of_two<false>);

template <bool Ready>
measure::results with_timeout(const measure::setting& s) {
  return run_chain(s, [](chain& c, auto then) {
    if (Ready) c.a.try_send(1);
    sluice::timeout(c.a.receive(), 1s)([&c, then](error_code, std::optional<value> v) {
      c.sum += *v;
      then();
    });
    if (!Ready) c.a.try_send(1);
  });
}
const measure::workload timeout_ready("callback_timeout", with_timeout<true>);
const measure::workload timeout_parking("callback_timeout_parking", with_timeout<false>);

}  // namespace
}  // namespace sluice_side
