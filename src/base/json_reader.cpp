#include "guerdon/base/json_reader.h"

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <vector>

#include "guerdon/base/error.h"
#include "guerdon/base/file.h"

namespace guerdon {
namespace {

using Members = Json::object_t;
using Pairs = std::vector<std::pair<const std::string, Json>>;

/// Builds the value. nlohmann's parser keeps its state on the heap, so that depth costs memory and
/// not stack; what it does not do, refusing duplicate keys and counting the depth, is done here.
class Builder {
 public:
  Builder(size_t depth_limit, std::string_view text) : depth_limit_(depth_limit), text_(text) {}

  bool null() { return add(nullptr); }
  bool boolean(bool value) { return add(value); }
  bool number_integer(Json::number_integer_t value) { return add(value); }
  bool number_unsigned(Json::number_unsigned_t value) { return add(value); }
  bool number_float(Json::number_float_t value, const std::string&) { return add(value); }
  bool string(std::string& value) { return add(std::move(value)); }
  bool binary(Json::binary_t&) { return false; }

  bool start_object(size_t) { return open(Json::object()); }
  bool start_array(size_t) { return open(Json::array()); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }

  bool key(std::string& name) {
    if (!stack_.back().names.insert(name).second) {
      error = "the key " + show(name) + " is there twice";
      return false;
    }
    stack_.back().key = std::move(name);
    return true;
  }

  bool parse_error(size_t position, const std::string&, const nlohmann::detail::exception& e) {
    at = position;
    error = e.what();
    // "[json.exception.parse_error.101] parse error at line 1, column 3: syntax error while ..." ->
    // from "syntax error" on.
    if (const size_t colon = error.find(": "); colon != std::string::npos)
      error.erase(0, colon + 2);
    if (const size_t tail = error.find("; last read"); tail != std::string::npos) {
      const size_t end = error.find("; expected", tail);
      const std::string rest = end == std::string::npos ? "" : error.substr(end);
      error.resize(tail);
      error += rest;
    }
    if (error.starts_with("number overflow")) error = "a number is outside the range of double";
    return false;
  }

  Json root;
  std::string error;
  size_t at = std::string_view::npos;

 private:
  struct Level {
    Json* value;
    std::string key;
    std::unordered_set<std::string> names;
  };

  Json* place(Json&& value) {
    if (stack_.empty()) {
      root = std::move(value);
      return &root;
    }
    Level& level = stack_.back();
    if (level.value->is_array()) {
      auto& items = level.value->get_ref<Json::array_t&>();
      items.push_back(std::move(value));
      return &items.back();
    }
    // ordered_map looks every key up linearly; keys are known to be unique here, so they go to its
    // vector directly.
    Pairs& members = level.value->get_ref<Members&>();
    members.emplace_back(std::move(level.key), std::move(value));
    return &members.back().second;
  }

  bool add(Json value) {
    place(std::move(value));
    return true;
  }

  bool open(Json container) {
    if (stack_.size() >= depth_limit_) {
      error = str("nested deeper than ", depth_limit_, " levels");
      return false;
    }
    stack_.push_back({place(std::move(container)), {}, {}});
    return true;
  }

  bool close() {
    stack_.pop_back();
    return true;
  }

  size_t depth_limit_;
  std::string_view text_;
  std::vector<Level> stack_;
};

}  // namespace

Json parse_json(std::string_view text, const std::string& where, size_t line,
                const JsonLimits& limits) {
  const auto place = [&](size_t position) {
    if (line > 0) return str(where, ":", line);
    if (position == std::string_view::npos) return where;
    const std::string_view before = text.substr(0, std::min(position, text.size()));
    const size_t row = 1 + static_cast<size_t>(std::count(before.begin(), before.end(), '\n'));
    const size_t start = before.rfind('\n');
    const size_t column = before.size() - (start == std::string_view::npos ? 0 : start + 1);
    return str(where, ":", row, ":", std::max<size_t>(column, 1));
  };
  if (text.size() > limits.bytes) {
    fail_input(place(0),
               str("this JSON value has ", text.size(), " bytes (limit ", limits.bytes, ")"));
  }
  Builder builder(limits.depth, text);
  const bool parsed =
      Json::sax_parse(text.begin(), text.end(), &builder, nlohmann::detail::input_format_t::json,
                      true, limits.comments);
  if (!parsed) {
    fail_input(place(builder.at),
               "not valid JSON: " + (builder.error.empty() ? "malformed" : builder.error));
  }
  return std::move(builder.root);
}

Json read_json(const std::filesystem::path& file, const JsonLimits& limits) {
  return parse_json(read_file(file, limits.bytes), file.string(), 0, limits);
}

std::string json_number(double value) {
  if (!std::isfinite(value)) return "null";
  char buffer[32];
  const auto [end, error] = std::to_chars(buffer, buffer + sizeof buffer, value);
  return {buffer, end};
}

std::string json_string(std::string_view text) {
  return Json(std::string(text)).dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace guerdon
