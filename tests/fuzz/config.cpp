// Settings as JSON with comments or as YAML, then `key=value` arguments, one a line behind a zero
// byte: refused, or taken so that the resolved settings read back as themselves.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "guerdon/base/error.h"
#include "guerdon/base/settings.h"
#if GUERDON_WITH_YAML
#include "base/settings_yaml.h"
#endif

namespace {

using namespace guerdon;

struct Inner {
  int64_t r = 8;
  std::optional<double> alpha;
  std::vector<std::string> names = {"all"};
};
void describe(SettingList& field, Inner& s) {
  field("r", s.r, "Rank", {.min = 1, .max = 512});
  field("alpha", s.alpha, "Scale", {.above = 0.0});
  field("names", s.names, "Names");
}

struct Outer {
  bool flag = false;
  double rate = 1e-3;
  std::string kind = "a", path;
  std::optional<bool> maybe;
  std::optional<int64_t> count;
  std::optional<std::string> word;
  std::vector<double> weights;
  JsonSetting reward;
  Inner lora;
};
void describe(SettingList& field, Outer& s) {
  field("flag", s.flag, "A flag");
  field("rate", s.rate, "A rate", {.min = 0.0, .below = 1.0});
  field("kind", s.kind, "A kind", {.choices = {"a", "b"}});
  field("path", s.path, "A path");
  field("maybe", s.maybe, "Perhaps");
  field("count", s.count, "A count");
  field("word", s.word, "A word");
  field("weights", s.weights, "Weights");
  field("reward", s.reward, "A reward");
  field.group("lora", s.lora);
}

void check(Json settings, const std::vector<std::string>& arguments) {
  Outer first, second;
  const SettingList list = settings_of(first), again = settings_of(second);
  override_settings(list, settings, arguments);
  apply_settings(list, settings, "fuzz.json");
  const Json resolved = settings_json(list);
  apply_settings(again, parse_json(resolved.dump(), "resolved"), "resolved");
  GUERDON_CHECK(settings_json(again) == resolved, "the resolved settings read back differently");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const std::string text(bytes.substr(0, bytes.find('\0')));
  std::vector<std::string> arguments;
  for (size_t at = text.size() + 1; at < size;) {
    const size_t end = std::min(bytes.find('\n', at), size);
    arguments.emplace_back(bytes.substr(at, end - at));
    at = end + 1;
  }
  const auto attempt = [&](const auto& parse) {
    try {
      check(parse(), arguments);
    } catch (const Error& error) {
      if (error.kind != Kind::settings && error.kind != Kind::input) throw;
    }
  };
  attempt([&] { return parse_json(text, "fuzz.json", 0, {.comments = true}); });
#if GUERDON_WITH_YAML
  attempt([&] { return parse_yaml(text, "fuzz.yaml"); });
#endif
  return 0;
}
