// The main function of every side:
//
//   SIDE WORKLOAD SIZE [THREADS]   does the workload once and prints what was measured
//   SIDE                           names the workloads
#include "measure.hpp"

#include <cstdio>

int main(int argc, char** argv) {
  if (argc < 2) {
    for (const auto& [name, run] : measure::workloads()) std::puts(name.c_str());
    return 0;
  }
  const auto found = measure::workloads().find(argv[1]);
  if (argc < 3 || found == measure::workloads().end()) {
    std::fprintf(stderr, "usage: %s [WORKLOAD SIZE [THREADS]]\n", argv[0]);
    return 2;
  }
  const measure::setting s{measure::argument(argc, argv, 2, 1),
                           measure::argument(argc, argv, 3, 1)};
  return measure::main([&] {
    const measure::results results = found->second(s);
    for (const auto& [name, value] : results.all()) std::printf("%s %.3f\n", name.c_str(), value);
  });
}
