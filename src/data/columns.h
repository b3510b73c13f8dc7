/// Private to `data`: the columns of a row, while it is being read.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "data/conversation.h"
#include "guerdon/base/error.h"
#include "guerdon/data/formats.h"

namespace guerdon::data {

/// The columns of one row: what a form takes is used up, the rest becomes Example::fields.
class Columns {
 public:
  Columns(const Row& row, const FormatOptions& options)
      : json_(row.fields.json()), where_(row.fields.where()), transcripts_(options.transcripts) {
    for (const std::string& name : row.fields.names())
      names_ += (names_.empty() ? "" : ", ") + name;
    if (names_.empty()) names_ = "nothing";
    for (const std::string& renamed : options.columns) {
      const size_t equals = renamed.find('=');
      if (equals == std::string::npos || equals == 0 || equals + 1 == renamed.size()) {
        fail_settings("key data.columns", "must be OURS=THEIRS, got " + show(renamed));
      }
      const std::string ours = renamed.substr(0, equals), theirs = renamed.substr(equals + 1);
      if (!json_.contains(theirs)) {
        fail_input(where_, "field " + show(theirs) + ", which data.columns calls " + show(ours) +
                               ", is missing (have: " + names() + ")");
      }
      Json value = std::move(json_[theirs]);
      json_.erase(theirs);
      json_[ours] = std::move(value);
    }
  }

  const std::string& where() const { return where_; }
  bool transcripts() const { return transcripts_; }
  bool has(const char* name) const { return json_.contains(name); }
  bool is_null(const char* name) const { return !has(name) || json_[name].is_null(); }
  const Json& peek(const char* name) const { return json_[name]; }

  Json take(const char* name) {
    if (!has(name)) {
      fail_input(where_, str("field \"", name, "\" is missing (have: ", names(), ")"));
    }
    Json value = std::move(json_[name]);
    json_.erase(name);
    return value;
  }
  Text text(const char* name) { return read_text(take(name), name, where_); }
  std::string string(const char* name) {
    const Json value = take(name);
    if (!value.is_string()) {
      fail_input(where_, str("field \"", name, "\" must be a string, got ", value.type_name()));
    }
    return value.get<std::string>();
  }
  std::string string_or_empty(const char* name) {
    if (!is_null(name)) return string(name);
    if (has(name)) json_.erase(name);
    return {};
  }
  Conversation conversation(const char* name) {
    return read_conversation(take(name), name, where_);
  }

  const std::string& names() const { return names_; }  ///< of all columns, for error texts
  Json rest() { return std::move(json_); }

 private:
  Json json_;
  std::string where_, names_;
  bool transcripts_;
};

}  // namespace guerdon::data
