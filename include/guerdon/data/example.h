/// One row of data, whatever file format it came from.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "guerdon/base/json_reader.h"

namespace guerdon {

/// A JSON object behind a pointer, read by name. Cheap to copy. Errors are Kind::input and name
/// where the row came from
/// ("data/pairs.jsonl:1841: field "margin" must be a number, got "x"").
class Fields {
 public:
  Fields() = default;
  /// `object` must be a JSON object.
  Fields(Json object, std::string where);

  bool has(const std::string& name) const;  ///< there, and not null
  double number(const std::string& name) const;
  std::string text(const std::string& name) const;
  bool boolean(const std::string& name) const;
  std::vector<std::string> texts(const std::string& name) const;
  std::vector<double> numbers(const std::string& name) const;
  /// The same, or the default when the field is missing or null.
  double number_or(const std::string& name, double otherwise) const;
  std::string text_or(const std::string& name, const std::string& otherwise) const;

  const Json& json() const;          ///< the whole object ({} when empty)
  const std::string& where() const;  ///< "file:line"
  std::vector<std::string> names() const;

 private:
  struct Content;
  const Json& at(const std::string& name) const;
  std::shared_ptr<const Content> content_;
};

struct Message {
  std::string role, content;
  Fields extra;  ///< tool_calls, name, tool_call_id, ... as templates see them
};
using Conversation = std::vector<Message>;

/// TRL's "standard" and "conversational".
using Text = std::variant<std::string, Conversation>;

struct Response {
  Text text;
  Fields fields;  ///< label, score, ratings, steps, critique, ...
};

struct Example {
  std::string id;  ///< given, or a hash of the row: keys caches, dynamic labels, samplers
  Text prompt;     ///< "" when the row has none
  std::vector<Response> responses;  ///< preference rows: best first
  Fields fields;                    ///< every other column
};

/// A message as chat templates see it: {"role", "content", extras...}.
Json message_json(const Message& message);
Json conversation_json(const Conversation& conversation);

}  // namespace guerdon
