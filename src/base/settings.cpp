#include "guerdon/base/settings.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/settings_yaml.h"
#include "guerdon/base/error.h"
#include "guerdon/base/file.h"
#include "guerdon/base/utf8.h"

namespace guerdon {
namespace {

template <class... Cases>
struct Overloaded : Cases... {
  using Cases::operator()...;
};
template <class... Cases>
Overloaded(Cases...) -> Overloaded<Cases...>;

[[noreturn]] void refuse(const std::string& where, const std::string& path,
                         const std::string& what) {
  fail_settings(where, "key " + path + ": " + what);
}

std::string shown(const Json& value) {
  return value.is_string() ? show(value.get_ref<const std::string&>()) : value.dump().substr(0, 80);
}

std::string range_text(const Allowed& a) {
  const bool has_min = std::isfinite(a.min), has_max = std::isfinite(a.max);
  const bool has_above = std::isfinite(a.above), has_below = std::isfinite(a.below);
  const std::string low = has_min     ? "[" + json_number(a.min)
                          : has_above ? "(" + json_number(a.above)
                                      : "";
  const std::string high = has_max     ? json_number(a.max) + "]"
                           : has_below ? json_number(a.below) + ")"
                                       : "";
  if (!low.empty() && !high.empty()) return "must lie in " + low + ", " + high;
  if (has_min) return "must be at least " + json_number(a.min);
  if (has_above) return "must be greater than " + json_number(a.above);
  if (has_max) return "must be at most " + json_number(a.max);
  if (has_below) return "must be less than " + json_number(a.below);
  return {};
}

void check_range(double value, const Allowed& a, const std::string& where,
                 const std::string& path) {
  const bool inside = value >= a.min && value <= a.max && value > a.above && value < a.below;
  const bool unbounded = a.above == -std::numeric_limits<double>::infinity() &&
                         a.below == std::numeric_limits<double>::infinity();
  if (!(inside || (unbounded && value >= a.min && value <= a.max))) {
    refuse(where, path, range_text(a) + ", got " + json_number(value));
  }
}

std::string choices_text(const std::vector<std::string>& choices) {
  std::string out;
  for (const std::string& choice : choices) out += (out.empty() ? "" : ", ") + choice;
  return out;
}

bool read_bool(const Json& j, const std::string& where, const std::string& path) {
  if (!j.is_boolean()) refuse(where, path, "must be true or false, got " + shown(j));
  return j.get<bool>();
}

int64_t read_integer(const Json& j, const Allowed& a, const std::string& where,
                     const std::string& path) {
  const bool whole = j.is_number_float() && std::abs(j.get<double>()) < 9e15 &&
                     j.get<double>() == std::floor(j.get<double>());
  if (!j.is_number_integer() && !whole)
    refuse(where, path, "must be a whole number, got " + shown(j));
  if (j.is_number_unsigned() && j.get<uint64_t>() > INT64_MAX)
    refuse(where, path, "is too large, got " + shown(j));
  const int64_t value = whole ? static_cast<int64_t>(j.get<double>()) : j.get<int64_t>();
  check_range(static_cast<double>(value), a, where, path);
  return value;
}

double read_number(const Json& j, const Allowed& a, const std::string& where,
                   const std::string& path) {
  if (!j.is_number()) refuse(where, path, "must be a number, got " + shown(j));
  const double value = j.get<double>();
  check_range(value, a, where, path);
  return value;
}

std::string read_string(const Json& j, const Allowed& a, const std::string& where,
                        const std::string& path) {
  if (!j.is_string()) refuse(where, path, "must be a string, got " + shown(j));
  std::string value = j.get<std::string>();
  if (!a.choices.empty() &&
      std::find(a.choices.begin(), a.choices.end(), value) == a.choices.end()) {
    refuse(where, path,
           "must be one of " + choices_text(a.choices) + ", got " + show(value) +
               did_you_mean(value, a.choices));
  }
  return value;
}

void set(const Setting& s, const Json& j, const std::string& where, const std::string& prefix) {
  const std::string path = prefix + s.path;
  const auto optional = [&](auto* target, auto read) {
    if (j.is_null()) {
      target->reset();
    } else {
      *target = read();
    }
  };
  std::visit(
      Overloaded{
          [&](bool* v) { *v = read_bool(j, where, path); },
          [&](int64_t* v) { *v = read_integer(j, s.allowed, where, path); },
          [&](double* v) { *v = read_number(j, s.allowed, where, path); },
          [&](std::string* v) { *v = read_string(j, s.allowed, where, path); },
          [&](std::optional<bool>* v) { optional(v, [&] { return read_bool(j, where, path); }); },
          [&](std::optional<int64_t>* v) {
            optional(v, [&] { return read_integer(j, s.allowed, where, path); });
          },
          [&](std::optional<double>* v) {
            optional(v, [&] { return read_number(j, s.allowed, where, path); });
          },
          [&](std::optional<std::string>* v) {
            optional(v, [&] { return read_string(j, s.allowed, where, path); });
          },
          [&](std::vector<std::string>* v) {
            // One string stands for a list of one, as in TRL.
            const Json list = j.is_string() ? Json::array({j}) : j;
            if (!list.is_array())
              refuse(where, path, "must be a string or a list of strings, got " + shown(j));
            v->clear();
            for (const Json& item : list) v->push_back(read_string(item, s.allowed, where, path));
          },
          [&](std::vector<double>* v) {
            const Json list = j.is_number() ? Json::array({j}) : j;
            if (!list.is_array())
              refuse(where, path, "must be a number or a list of numbers, got " + shown(j));
            v->clear();
            for (const Json& item : list) v->push_back(read_number(item, s.allowed, where, path));
          },
          [&](JsonSetting* v) { v->text = j.is_null() ? "" : j.dump(); },
      },
      s.value);
}

Json value_json(const Setting& s) {
  const auto optional = [](const auto* v) { return v->has_value() ? Json(**v) : Json(nullptr); };
  return std::visit(
      Overloaded{
          [](bool* v) { return Json(*v); },
          [](int64_t* v) { return Json(*v); },
          [](double* v) { return Json(*v); },
          [](std::string* v) { return Json(*v); },
          [&](std::optional<bool>* v) { return optional(v); },
          [&](std::optional<int64_t>* v) { return optional(v); },
          [&](std::optional<double>* v) { return optional(v); },
          [&](std::optional<std::string>* v) { return optional(v); },
          [](std::vector<std::string>* v) { return Json(*v); },
          [](std::vector<double>* v) { return Json(*v); },
          [](JsonSetting* v) { return v->text.empty() ? Json(nullptr) : Json::parse(v->text); },
      },
      s.value);
}

std::string type_name(const SettingValue& value) {
  return std::visit(Overloaded{
                        [](bool*) { return "true or false"; },
                        [](int64_t*) { return "integer"; },
                        [](double*) { return "number"; },
                        [](std::string*) { return "string"; },
                        [](std::optional<bool>*) { return "true, false or null"; },
                        [](std::optional<int64_t>*) { return "integer or null"; },
                        [](std::optional<double>*) { return "number or null"; },
                        [](std::optional<std::string>*) { return "string or null"; },
                        [](std::vector<std::string>*) { return "list of strings"; },
                        [](std::vector<double>*) { return "list of numbers"; },
                        [](JsonSetting*) { return "JSON"; },
                    },
                    value);
}

std::vector<std::string> names(const SettingList& list) {
  std::vector<std::string> out;
  for (const Setting& s : list.all()) out.push_back(s.path);
  return out;
}

// `group` is the part of the path that the list knows, `prefix` the part before the list.
void apply(const SettingList& list, const Json& object, const std::string& where,
           const std::string& prefix, const std::string& group) {
  for (const auto& [key, value] : object.items()) {
    const std::string path = group + key;
    if (const Setting* setting = list.find(path)) {
      set(*setting, value, where, prefix);
      continue;
    }
    const bool is_group = std::any_of(list.all().begin(), list.all().end(), [&](const Setting& s) {
      return s.path.starts_with(path + ".");
    });
    if (is_group && value.is_object()) {
      apply(list, value, where, prefix, path + ".");
    } else if (is_group) {
      refuse(where, prefix + path, "must be an object, got " + shown(value));
    } else {
      refuse(where, prefix + path, "no such setting" + did_you_mean(path, names(list)));
    }
  }
}

// A dotted path in steps: "reward.of[0].weight" -> reward, of, 0, weight.
struct PathStep {
  std::string key;
  size_t index = 0;
  bool is_index = false;
};

std::vector<PathStep> steps_of(const std::string& path, const std::string& argument) {
  const auto malformed = [&] {
    fail_settings("argument " + show(argument),
                  "expected KEY=VALUE with a dotted KEY like reward.of[0].weight");
  };
  std::vector<PathStep> steps;
  size_t at = 0;
  while (at < path.size()) {
    if (path[at] == '[') {
      const size_t close = path.find(']', at);
      const std::string digits =
          close == std::string::npos ? "" : path.substr(at + 1, close - at - 1);
      if (digits.empty() || digits.size() > 6 ||
          !std::all_of(digits.begin(), digits.end(),
                       [](unsigned char c) { return std::isdigit(c); }))
        malformed();
      steps.push_back({"", std::stoul(digits), true});
      at = close + 1;
      if (at < path.size() && path[at] == '.') ++at;
    } else {
      const size_t end = std::min(path.find_first_of(".[", at), path.size());
      if (end == at) malformed();
      steps.push_back({path.substr(at, end - at), 0, false});
      at = end < path.size() && path[end] == '.' ? end + 1 : end;
    }
  }
  if (steps.empty() || steps.front().is_index) malformed();
  return steps;
}

}  // namespace

const Setting* SettingList::find(std::string_view path) const {
  for (const Setting& s : settings_) {
    if (s.path == path) return &s;
  }
  return nullptr;
}

void apply_settings(const SettingList& list, const Json& object, const std::string& where,
                    const std::string& prefix) {
  if (!object.is_object()) fail_settings(where, "must be a JSON object");
  apply(list, object, where, prefix, "");
}

void override_settings(const SettingList& list, Json& object,
                       const std::vector<std::string>& arguments) {
  for (const std::string& argument : arguments) {
    const size_t equals = argument.find('=');
    if (equals == std::string::npos)
      fail_settings("argument " + show(argument), "expected KEY=VALUE");
    if (!is_utf8(argument)) fail_settings("argument " + show(argument), "is not UTF-8");
    const std::string path = argument.substr(0, equals), text = argument.substr(equals + 1);
    const std::vector<PathStep> steps = steps_of(path, argument);

    const Setting* setting = list.find(path);
    const bool is_text =
        setting &&
        (std::holds_alternative<std::string*>(setting->value) ||
         (std::holds_alternative<std::optional<std::string>*>(setting->value) && text != "null"));
    Json value = text;
    if (!is_text) {
      try {
        value = parse_json(text, argument);
      } catch (const Error&) {
        // Not JSON: a bare word like sigmoid is a string.
      }
    }
    Json* node = &object;
    for (const PathStep& step : steps) {
      if (step.is_index) {
        if (!node->is_array() || step.index >= node->size()) {
          fail_settings("argument " + show(argument), str("there is no entry [", step.index, "]"));
        }
        node = &(*node)[step.index];
      } else {
        if (node->is_null()) *node = Json::object();
        if (!node->is_object())
          fail_settings("argument " + show(argument),
                        "key " + step.key + " is inside something that is not an object");
        node = &(*node)[step.key];
      }
    }
    *node = std::move(value);
  }
}

namespace {
Json read_any(const std::string& file) {
  if (!file.ends_with(".yaml") && !file.ends_with(".yml"))
    return read_json(file, {.comments = true});
#if GUERDON_WITH_YAML
  return parse_yaml(read_file(file, JsonLimits{}.bytes), file);
#else
  fail_settings(file, "this build reads no YAML",
                "write the settings as JSON, or build with libyaml-cpp-dev installed");
#endif
}
}  // namespace

Json read_settings(const std::string& file) {
  try {
    Json object = read_any(file);
    if (!object.is_object()) fail_settings(file, "must be an object of settings");
    return object;
  } catch (const Error& e) {
    // A settings file that does not parse is the user's configuration, not his data.
    if (e.kind == Kind::input) throw Error(Kind::settings, "", e.what(), e.hint);
    throw;
  }
}

Json settings_json(const SettingList& list) {
  Json out = Json::object();
  for (const Setting& s : list.all()) {
    Json* node = &out;
    size_t at = 0;
    for (size_t dot = 0; (dot = s.path.find('.', at)) != std::string::npos; at = dot + 1) {
      node = &(*node)[s.path.substr(at, dot - at)];
      if (node->is_null()) *node = Json::object();
    }
    (*node)[s.path.substr(at)] = value_json(s);
  }
  return out;
}

Json setting_value(const Setting& setting) { return value_json(setting); }

std::string setting_help(const Setting& s) {
  const std::string type =
      s.allowed.choices.empty() ? type_name(s.value) : "One of " + choices_text(s.allowed.choices);
  const std::string range = range_text(s.allowed);
  return s.help + ". " + type + (range.empty() ? "" : "; " + range) + ".";
}

std::string settings_help(const SettingList& list) {
  std::string out;
  for (const Setting& s : list.all()) {
    out += s.path + " = " + value_json(s).dump() + "\n    " + setting_help(s) + "\n";
  }
  return out;
}

}  // namespace guerdon
