// Performs what the files in the given folders describe, and then programs of random bytes: where
// there is no libFuzzer.
//
//   replay FOLDER... [--random N [SEED]]
#include "play.hpp"

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace {

using program = std::vector<std::uint8_t>;

bool performs(const program& p, const std::string& name) {
  try {
    sluice_test::fuzz::perform(p);
    return true;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s: %s\n", name.c_str(), e.what());
    std::ofstream("failed.bytes", std::ios::binary)
        .write(reinterpret_cast<const char*>(p.data()), static_cast<std::streamsize>(p.size()));
    return false;
  }
}

program read(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

}  // namespace

int main(int count, char** arguments) {
  std::size_t performed = 0;
  for (int i = 1; i < count; ++i) {
    if (std::string_view(arguments[i]) == "--random") {
      const auto rounds = i + 1 < count ? std::strtoul(arguments[i + 1], nullptr, 10) : 0;
      const auto seed = i + 2 < count ? std::strtoul(arguments[i + 2], nullptr, 10) : 1;
      std::mt19937_64 random(seed);
      for (std::size_t n = 0; n < rounds; ++n, ++performed) {
        program p(16 + random() % 400);
        for (auto& b : p) b = static_cast<std::uint8_t>(random());
        if (!performs(p, "program " + std::to_string(n) + " of seed " + std::to_string(seed)))
          return 1;
      }
      break;
    }
    const std::filesystem::path path = arguments[i];
    std::vector<std::filesystem::path> files;
    if (std::filesystem::is_directory(path))
      for (const auto& entry : std::filesystem::directory_iterator(path)) files.push_back(entry);
    else
      files.push_back(path);
    for (const auto& f : files) {
      if (!performs(read(f), f.string())) return 1;
      ++performed;
    }
  }
  std::printf("%zu programs\n", performed);
  return performed == 0;
}
