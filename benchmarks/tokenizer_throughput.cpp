// MB/s of a tokenizer on text files, one thread: each paragraph by itself, and each file as one
// text.
//
//     bench_tokenizer_throughput TOKENIZER FILE...
//
// Prints one JSON object. tokenizer_throughput.py runs it beside the Hugging Face library.
#include <chrono>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "guerdon/base/error.h"
#include "guerdon/base/file.h"
#include "guerdon/text/tokenizer.h"

namespace {

using Clock = std::chrono::steady_clock;
constexpr int kRounds = 5;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

std::vector<std::string> paragraphs(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find("\n\n", at), text.size());
    parts.push_back(text.substr(at, end - at));
    at = end + 2;
  }
  return parts;
}

/// The best of a few rounds, in MB/s.
double throughput(const std::vector<std::string>& texts,
                  const std::function<void(const std::string&)>& encode) {
  double bytes = 0, best = 0;
  for (const std::string& text : texts) bytes += static_cast<double>(text.size());
  for (int round = 0; round < kRounds; ++round) {
    const auto start = Clock::now();
    for (const std::string& text : texts) encode(text);
    best = std::max(best, bytes / 1e6 / seconds_since(start));
  }
  return best;
}

int run(int argc, char** argv) {
  if (argc < 3) guerdon::fail_settings("bench_tokenizer_throughput", "expected TOKENIZER FILE...");
  const auto start = Clock::now();
  const auto tokenizer = guerdon::text::Tokenizer::load(argv[1]);
  const double load_s = seconds_since(start);
  std::vector<std::string> whole, parts;
  for (int i = 2; i < argc; ++i) {
    whole.push_back(guerdon::read_file(argv[i]));
    const auto more = paragraphs(whole.back());
    parts.insert(parts.end(), more.begin(), more.end());
  }
  size_t ids = 0;
  for (const std::string& text : parts) ids += tokenizer.encode(text).size();
  std::printf(
      "{\"load_s\": %.3f, \"ids\": %zu, \"paragraphs\": %.2f, \"with_ranges\": %.2f, \"whole\": "
      "%.2f}\n",
      load_s, ids, throughput(parts, [&](const std::string& text) { tokenizer.encode(text); }),
      throughput(parts, [&](const std::string& text) { tokenizer.encode_with_ranges(text); }),
      throughput(whole, [&](const std::string& text) { tokenizer.encode(text); }));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const guerdon::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return static_cast<int>(error.kind);
  }
}
