#include "guerdon/data/prompt_key.h"

#include "guerdon/base/file.h"
#include "guerdon/base/random.h"
#include "guerdon/data/formats.h"

namespace guerdon::data {

std::string prompt_text(const Example& example) {
  const bool whole = is_empty(example.prompt) && !example.responses.empty();
  const Text& text = whole ? example.responses[0].text : example.prompt;
  if (!is_conversational(text)) return std::get<std::string>(text);
  std::string out;
  for (const Message& message : std::get<Conversation>(text)) {
    if (whole && message.role == "assistant") break;
    out += message.role + ": " + message.content + "\n";
  }
  return out;
}

std::string normalised(const std::string& text) {
  std::string out;
  bool gap = false;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool letter = byte >= 0x80 || (byte >= '0' && byte <= '9') ||
                        (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
    if (!letter) {
      gap = true;
      continue;
    }
    if (gap && !out.empty()) out.push_back(' ');
    gap = false;
    out.push_back(byte >= 'A' && byte <= 'Z' ? static_cast<char>(byte - 'A' + 'a') : c);
  }
  return out;
}

bool is_held_out(const Example& example, double share, uint64_t seed) {
  const std::string digest = sha256(normalised(prompt_text(example)));
  uint64_t key = 0;
  for (size_t i = 0; i < 16; ++i) {
    const char c = digest[i];
    key = key << 4 | static_cast<uint64_t>(c <= '9' ? c - '0' : c - 'a' + 10);
  }
  return Random(seed, Purpose::choose, key).uniform(0) < share;
}

}  // namespace guerdon::data
