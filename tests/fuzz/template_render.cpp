// A template's source, rendered with a fixed conversation under tight limits: a text with sound
// spans, or an Error.
#include <cstddef>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string_view>

#include "guerdon/base/error.h"
#include "guerdon/text/chat_template.h"

namespace {

const guerdon::Json& variables() {
  static const guerdon::Json json = guerdon::parse_json(
      R"({"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi \u00e9\ud83d\ude00"},
          {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", "arguments": {"a": [1, 2.5, true]}}}]}],
          "tools": [{"name": "f"}], "n": 3, "x": -1.5, "t": "  a,b c\n", "add_generation_prompt": true, "bos_token": "<s>",
          "strftime_now_iso": "2024-07-26T12:00:00"})",
      "variables");
  return json;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const auto chat = guerdon::text::ChatTemplate::parse(
        {reinterpret_cast<const char*>(data), size}, "fuzz",
        {.loop_turns = 10'000, .steps = 100'000, .output_bytes = 1 << 20});
    const guerdon::text::Rendered rendered = chat.render(variables());
    const auto length = static_cast<int64_t>(rendered.text.size());
    for (const auto& [begin, end] : rendered.assistant) {
      if (begin < 0 || begin > end || end > length) __builtin_trap();
    }
  } catch (const guerdon::Error& error) {
    if (error.kind != guerdon::Kind::input) throw;
  }
  return 0;
}
