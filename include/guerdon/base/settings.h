/// Settings: each is declared once, with name, default, range and help, and everything else follows
/// from that list: reading JSON, `key=value` overrides, the resolved config.json, `guerdon config`,
/// the tables in the docs.
///
///     struct DpoSettings {
///       double learning_rate = 1e-6;
///       std::string loss_type = "sigmoid";
///     };
///     void describe(SettingList& field, DpoSettings& s) {
///       field("learning_rate", s.learning_rate, "Peak learning rate", {.min = 0.0, .max = 1.0});
///       field("loss_type", s.loss_type, "The loss", {.choices = {"sigmoid", "hinge"}});
///     }
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "guerdon/base/json_reader.h"

namespace guerdon {

/// A part of the settings that its user reads himself, kept as JSON text: a reward node, a list of
/// stages. "" when not given.
struct JsonSetting {
  std::string text;
};

/// What a setting may be set to. Numbers: min <= x <= max, x > above, x < below.
struct Allowed {
  double min = -std::numeric_limits<double>::infinity();
  double max = std::numeric_limits<double>::infinity();
  double above = -std::numeric_limits<double>::infinity();
  double below = std::numeric_limits<double>::infinity();
  std::vector<std::string> choices = {};
};

using SettingValue =
    std::variant<bool*, int64_t*, double*, std::string*, std::optional<bool>*,
                 std::optional<int64_t>*, std::optional<double>*, std::optional<std::string>*,
                 std::vector<std::string>*, std::vector<double>*, JsonSetting*>;

struct Setting {
  std::string path;  ///< dotted: "lora.r"
  SettingValue value;
  std::string help;
  Allowed allowed;
};

/// The settings of one struct, in the order of their declaration; it refers to the struct, which
/// must outlive it.
class SettingList {
 public:
  template <class Value>
  void operator()(const std::string& name, Value& value, const std::string& help,
                  Allowed allowed = {}) {
    settings_.push_back({prefix_ + name, SettingValue(&value), help, std::move(allowed)});
  }
  /// A nested struct with a describe() of its own: its settings are named "NAME....".
  template <class Group>
  void group(const std::string& name, Group& group) {
    const std::string outer = prefix_;
    prefix_ += name + ".";
    describe(*this, group);
    prefix_ = outer;
  }
  const std::vector<Setting>& all() const { return settings_; }
  const Setting* find(std::string_view path) const;

 private:
  std::string prefix_;
  std::vector<Setting> settings_;
};

template <class Settings>
SettingList settings_of(Settings& settings) {
  SettingList list;
  describe(list, settings);
  return list;
}

/// Sets what the JSON object names. An unknown key, a wrong type or a value outside its range is an
/// Error (Kind::settings): "WHERE: key lora.rr: no such setting (did you mean "lora.r"?)". A null
/// leaves an optional empty, and is refused elsewhere.
///
/// `prefix` stands before every key in errors: "reward.of[0]." for an object inside the settings.
void apply_settings(const SettingList& list, const Json& object, const std::string& where,
                    const std::string& prefix = {});

/// `key=value` arguments put into the JSON object at their dotted path ("reward.of[0].weight=0.5").
/// The value is read as JSON where the setting is not a string and it parses; otherwise it is the
/// string itself.
void override_settings(const SettingList& list, Json& object,
                       const std::vector<std::string>& arguments);

/// A settings file: JSON with comments, or YAML when the name ends in .yaml or .yml (where the
/// build has it). Throws Error (Kind::settings) when it is not an object.
Json read_settings(const std::string& file);

/// All settings with their present values, nested as a file would have them.
Json settings_json(const SettingList& list);

/// A setting's present value, and its line of help: what it is, its type or choices, its range.
Json setting_value(const Setting& setting);
std::string setting_help(const Setting& setting);

/// One line per setting: name, type, value, help and range; for `guerdon config` (comments in a
/// JSON file that can be run).
std::string settings_help(const SettingList& list);

}  // namespace guerdon
