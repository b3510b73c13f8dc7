/// Private to `data`: a model's config.json, read key by key, each number checked against its
/// range.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "guerdon/base/error.h"
#include "guerdon/base/json_reader.h"

namespace guerdon::data {

inline constexpr int64_t kMaxVocabulary = int64_t{1} << 24;
inline constexpr int64_t kMaxWidth = 65536;
inline constexpr int64_t kMaxInner = int64_t{1} << 20;
inline constexpr int64_t kMaxLayers = 1024;
inline constexpr int64_t kMaxPositions = int64_t{1} << 31;

inline std::string value_text(const Json& value) {
  return value.is_string() ? show(value.get_ref<const std::string&>()) : value.dump().substr(0, 80);
}

/// An object of the configuration, read by key; null counts as missing. Errors name the dotted key.
class Keys {
 public:
  Keys(const Json& object, std::string where, Kind kind, std::string prefix = {})
      : object_(&object), where_(std::move(where)), kind_(kind), prefix_(std::move(prefix)) {}

  [[noreturn]] void fail(const std::string& key, const std::string& what) const {
    throw Error(kind_, where_ + ": key " + prefix_ + key, what);
  }
  bool has(const std::string& key) const {
    return object_->contains(key) && !object_->at(key).is_null();
  }
  bool says(const std::string& key) const { return object_->contains(key); }  // null counts
  const Json& at(const std::string& key) const { return object_->at(key); }

  int64_t integer(const std::string& key, int64_t min, int64_t max) const {
    if (!has(key)) fail(key, str("is missing (expected a whole number in [", min, ", ", max, "])"));
    const Json& value = at(key);
    const bool fits = value.is_number_unsigned()
                          ? value.get<uint64_t>() <= static_cast<uint64_t>(max)
                          : value.is_number_integer() && value.get<int64_t>() <= max;
    if (!fits || value.get<int64_t>() < min)
      fail(key, str("must be a whole number in [", min, ", ", max, "], got ", value_text(value)));
    return value.get<int64_t>();
  }
  int64_t integer_or(const std::string& key, int64_t otherwise, int64_t min, int64_t max) const {
    return has(key) ? integer(key, min, max) : otherwise;
  }
  double number(const std::string& key, double min, double max) const {
    if (!has(key)) fail(key, str("is missing (expected a number in [", min, ", ", max, "])"));
    const Json& value = at(key);
    if (!value.is_number() || !(value.get<double>() >= min && value.get<double>() <= max))
      fail(key, str("must be a number in [", min, ", ", max, "], got ", value_text(value)));
    return value.get<double>();
  }
  double number_or(const std::string& key, double otherwise, double min, double max) const {
    return has(key) ? number(key, min, max) : otherwise;
  }
  bool boolean_or(const std::string& key, bool otherwise) const {
    if (!has(key)) return otherwise;
    if (!at(key).is_boolean()) fail(key, "must be true or false, got " + value_text(at(key)));
    return at(key).get<bool>();
  }
  std::string text_or(const std::string& key, const std::string& otherwise) const {
    if (!has(key)) return otherwise;
    if (!at(key).is_string()) fail(key, "must be a string, got " + value_text(at(key)));
    return at(key).get<std::string>();
  }
  std::vector<std::string> texts(const std::string& key) const {
    if (!has(key)) return {};
    std::vector<std::string> out;
    if (!at(key).is_array()) fail(key, "must be a list of strings, got " + value_text(at(key)));
    for (const Json& item : at(key)) {
      if (!item.is_string()) fail(key, "must be a list of strings, got " + value_text(at(key)));
      out.push_back(item.get<std::string>());
    }
    return out;
  }
  std::vector<double> numbers(const std::string& key, size_t size, double min, double max) const {
    const std::string expected =
        str("must be a list of ", size, " numbers in [", min, ", ", max, "]");
    if (!has(key) || !at(key).is_array() || at(key).size() != size) fail(key, expected);
    std::vector<double> out;
    for (const Json& item : at(key)) {
      if (!item.is_number() || !(item.get<double>() >= min && item.get<double>() <= max))
        fail(key, expected + ", got " + value_text(item));
      out.push_back(item.get<double>());
    }
    return out;
  }
  /// A token id, a list of them, or nothing.
  std::vector<int64_t> ids(const std::string& key) const {
    if (!has(key)) return {};
    const auto id = [&](const Json& item) {
      if (!item.is_number_integer() || item.get<int64_t>() < -1 ||
          item.get<int64_t>() >= kMaxVocabulary)
        fail(key, "must be a token id or a list of them, got " + value_text(item));
      return item.get<int64_t>();
    };
    std::vector<int64_t> out;
    if (at(key).is_array()) {
      for (const Json& item : at(key)) out.push_back(id(item));
    } else {
      out.push_back(id(at(key)));
    }
    std::erase(out, -1);  // older configurations write -1 for "none"
    return out;
  }
  Keys object(const std::string& key) const {
    if (!at(key).is_object()) fail(key, "must be an object, got " + value_text(at(key)));
    return {at(key), where_, kind_, prefix_ + key + "."};
  }

 private:
  const Json* object_;
  std::string where_;
  Kind kind_;
  std::string prefix_;
};

}  // namespace guerdon::data
