// The only file that sees yaml-cpp.
#include "base/settings_yaml.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cctype>
#include <cmath>
#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"
#include "guerdon/base/utf8.h"

namespace guerdon {
namespace {

// Aliases can make a small text a huge tree ("billion laughs").
constexpr size_t kMaxNodes = 1'000'000;
constexpr size_t kMaxDepth = 256;

std::string place(const std::string& where, const YAML::Mark& mark) {
  return mark.is_null() ? where : str(where, ":", mark.line + 1, ":", mark.column + 1);
}

bool is_one_of(const std::string& text, std::initializer_list<const char*> words) {
  return std::any_of(words.begin(), words.end(), [&](const char* word) { return text == word; });
}

bool looks_like_a_number(const std::string& text) {
  const size_t sign = text.starts_with('-') || text.starts_with('+') ? 1 : 0;
  const size_t digit = sign < text.size() && text[sign] == '.' ? sign + 1 : sign;
  if (digit >= text.size() || std::isdigit(static_cast<unsigned char>(text[digit])) == 0)
    return false;
  return text.find_first_not_of("0123456789.eE+-", sign) == std::string::npos;
}

/// A plain scalar by the core schema.
Json scalar(const std::string& text, const std::string& where) {
  if (is_one_of(text, {"", "~", "null", "Null", "NULL"})) return nullptr;
  if (is_one_of(text, {"true", "True", "TRUE"})) return true;
  if (is_one_of(text, {"false", "False", "FALSE"})) return false;
  if (!looks_like_a_number(text)) return text;
  // JSON's grammar is narrower: 1., .5 and +1 are numbers in YAML.
  const bool whole = text.find_first_of(".eE") == std::string::npos;
  try {
    size_t used = 0;
    if (whole) {
      const int64_t value = std::stoll(text, &used);
      if (used == text.size()) return value;
    } else {
      const double value = std::stod(text, &used);
      if (used == text.size()) return value;
    }
  } catch (const std::out_of_range&) {
    fail_settings(where, "the number " + show(text) + " is too large");
  } catch (const std::invalid_argument&) {
    return text;  // a date like 2024-01-01, a version like 1.2.3
  }
  return text;
}

class Reader {
 public:
  explicit Reader(const std::string& where) : where_(where) {}

  Json value(const YAML::Node& node, size_t depth) {
    const std::string at = place(where_, node.Mark());
    if (++nodes_ > kMaxNodes) fail_settings(at, str("more than ", kMaxNodes, " values"));
    if (depth > kMaxDepth) fail_settings(at, str("nested deeper than ", kMaxDepth));
    switch (node.Type()) {
      case YAML::NodeType::Undefined:
      case YAML::NodeType::Null: return nullptr;
      case YAML::NodeType::Scalar:
        // "!" marks a quoted scalar, "?" a plain one.
        return node.Tag() == "!" ? Json(node.Scalar()) : scalar(node.Scalar(), at);
      case YAML::NodeType::Sequence: {
        Json list = Json::array();
        for (const YAML::Node& item : node) list.push_back(value(item, depth + 1));
        return list;
      }
      case YAML::NodeType::Map: {
        Json object = Json::object();
        for (const auto& entry : node) {
          const std::string key_at = place(where_, entry.first.Mark());
          if (!entry.first.IsScalar()) fail_settings(key_at, "a key must be a word");
          const std::string& key = entry.first.Scalar();
          if (object.contains(key)) fail_settings(key_at, "key " + show(key) + " is there twice");
          object[key] = value(entry.second, depth + 1);
        }
        return object;
      }
    }
    return nullptr;
  }

 private:
  std::string where_;
  size_t nodes_ = 0;
};

}  // namespace

Json parse_yaml(const std::string& text, const std::string& where) {
  if (!is_utf8(text)) fail_settings(where, "is not UTF-8");
  try {
    return Reader(where).value(YAML::Load(text), 0);
  } catch (const YAML::Exception& e) {
    fail_settings(place(where, e.mark), "is not YAML: " + e.msg);
  }
}

}  // namespace guerdon
