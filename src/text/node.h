/// A value of a tokenizer file that knows its place, so that errors can name it: "tokenizer.json:
/// key model.merges[3]".
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "guerdon/base/json_reader.h"

namespace guerdon::text {

/// Refers to the JSON, which must outlive it. Errors are Kind::input.
class Node {
 public:
  Node(const Json& json, std::string file, std::string path = {})
      : json_(&json), file_(std::move(file)), path_(std::move(path)) {}

  const Json& json() const { return *json_; }
  /// "FILE: key PATH".
  std::string where() const;
  [[noreturn]] void fail(const std::string& what) const;

  bool has(const char* name) const;         ///< a member that is there and not null
  Node operator[](const char* name) const;  ///< fails when it is missing
  std::vector<Node> elements() const;       ///< of an array; fails when it is none

  std::string type() const { return (*this)["type"].text(); }
  std::string text() const;
  int64_t integer() const;
  double number() const;
  bool boolean() const;
  /// One character, given as a string.
  char32_t character() const;

  std::string text_or(const char* name, const std::string& otherwise) const;
  bool boolean_or(const char* name, bool otherwise) const;
  int64_t integer_or(const char* name, int64_t otherwise) const;

 private:
  const Json* json_;
  std::string file_, path_;
};

}  // namespace guerdon::text
