// Runs a fuzz target over stored inputs, for compilers without libFuzzer:
//   replay [--changes N] FOLDER_OR_FILE...
// With --changes also N inputs that are changed at random from the stored ones, the same each time.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "guerdon/base/random.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

void run(const std::string& bytes) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
}

std::string replay(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
  std::fprintf(stderr, "%s\n", file.c_str());  // the last one named is the one that crashed
  run(bytes);
  return bytes;
}

/// A few bytes set, removed or inserted, or a piece of another input put in.
std::string changed(const std::vector<std::string>& inputs, guerdon::Random random) {
  const auto below = [&](size_t n) { return static_cast<size_t>(random.next_below(n)); };
  std::string out = inputs[below(inputs.size())];
  for (size_t changes = 1 + below(4); changes > 0; --changes) {
    const size_t at = below(out.size() + 1);
    switch (below(4)) {
      case 0:
        if (at < out.size()) out[at] = static_cast<char>(below(256));
        break;
      case 1: out.erase(at, below(16)); break;
      case 2: out.insert(at, 1 + below(3), static_cast<char>(32 + below(95))); break;
      default: {
        const std::string& other = inputs[below(inputs.size())];
        out.insert(at, other, below(other.size() + 1), below(64));
      }
    }
  }
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> inputs;
  uint64_t changes = 0;
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--changes" && i + 1 < argc) {
      changes = std::strtoull(argv[++i], nullptr, 10);
    } else if (std::filesystem::is_directory(argv[i])) {
      for (const auto& entry : std::filesystem::recursive_directory_iterator(argv[i])) {
        if (entry.is_regular_file()) inputs.push_back(replay(entry.path()));
      }
    } else {
      inputs.push_back(replay(argv[i]));
    }
  }
  if (inputs.empty()) return 1;
  for (uint64_t i = 0; i < changes; ++i) {
    const std::string input = changed(inputs, guerdon::Random(i, guerdon::Purpose::choose));
    run(input);
  }
  std::printf("%zu inputs replayed, %zu changed ones run\n", inputs.size(),
              static_cast<size_t>(changes));
  return 0;
}
