// MB/s of a tokenizer on a text, one thread, in processor time (what else runs on the machine
// counts little): paragraph by paragraph, cold (the first pass of a fresh process) and warm (the
// median of the passes after it), and the text as a whole.
//
//     bench_tokenizer_throughput TOKENIZER FILE BYTES
//
// Prints one JSON object. tokenizer_throughput.py runs it beside the Hugging Face library.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <functional>
#include <string>
#include <vector>

#include "guerdon/base/error.h"
#include "guerdon/base/file.h"
#include "guerdon/text/tokenizer.h"

namespace {

constexpr int kPasses = 5;

double processor_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

std::vector<std::string> paragraphs(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find("\n\n", at), text.size());
    parts.push_back(text.substr(at, end - at));
    at = end + 2;
  }
  return parts;
}

double pass(const std::vector<std::string>& texts,
            const std::function<void(const std::string&)>& encode) {
  double bytes = 0;
  for (const std::string& text : texts) bytes += static_cast<double>(text.size());
  const double start = processor_seconds();
  for (const std::string& text : texts) encode(text);
  return bytes / 1e6 / std::max(processor_seconds() - start, 1e-6);
}

double median(const std::vector<std::string>& texts,
              const std::function<void(const std::string&)>& encode) {
  std::vector<double> passes(kPasses);
  for (double& speed : passes) speed = pass(texts, encode);
  std::sort(passes.begin(), passes.end());
  return passes[kPasses / 2];
}

int run(int argc, char** argv) {
  if (argc != 4)
    guerdon::fail_settings("bench_tokenizer_throughput", "expected TOKENIZER FILE BYTES");
  const double start = processor_seconds();
  const auto tokenizer = guerdon::text::Tokenizer::load(argv[1]);
  const double load_s = processor_seconds() - start;
  std::string text = guerdon::read_file(argv[2]);
  text.resize(std::min(text.size(), static_cast<size_t>(std::atoll(argv[3]))));
  const std::vector<std::string> whole{text}, parts = paragraphs(text);
  size_t ids = 0;
  const auto encode = [&](const std::string& part) { ids += tokenizer.encode(part, false).size(); };
  const double cold = pass(parts, encode);
  const size_t count = ids;
  std::printf(
      "{\"load_s\": %.3f, \"ids\": %zu, \"cold\": %.2f, \"warm\": %.2f, \"whole\": %.2f, "
      "\"with_ranges\": %.2f}\n",
      load_s, count, cold, median(parts, encode), median(whole, encode),
      median(parts, [&](const std::string& part) { tokenizer.encode_with_ranges(part, false); }));
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
