#include "guerdon/data/example.h"

#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"

namespace guerdon {
namespace {

const Json& empty_object() {
  static const Json object = Json::object();
  return object;
}

std::string listed(const std::vector<std::string>& names) {
  std::string out;
  for (const std::string& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

/// A value as an error text shows it.
std::string shown(const Json& value) {
  if (value.is_string()) return show(value.get_ref<const std::string&>());
  if (value.is_array()) return str("a list of ", value.size());
  if (value.is_object()) return "an object";
  return value.dump();
}

}  // namespace

struct Fields::Content {
  Json object;
  std::string where;
};

Fields::Fields(Json object, std::string where) {
  GUERDON_CHECK(object.is_object(), "Fields: a JSON object is needed, got ", object.type_name());
  content_ = std::make_shared<const Content>(Content{std::move(object), std::move(where)});
}

const Json& Fields::json() const { return content_ ? content_->object : empty_object(); }

const std::string& Fields::where() const {
  static const std::string nowhere;
  return content_ ? content_->where : nowhere;
}

std::vector<std::string> Fields::names() const {
  std::vector<std::string> out;
  for (const auto& [name, value] : json().items()) out.push_back(name);
  return out;
}

bool Fields::has(const std::string& name) const {
  const auto found = json().find(name);
  return found != json().end() && !found->is_null();
}

const Json& Fields::at(const std::string& name) const {
  const auto found = json().find(name);
  if (found == json().end()) {
    fail_input(where(), "field " + show(name) + " is missing (have: " + listed(names()) + ")");
  }
  if (found->is_null()) fail_input(where(), "field " + show(name) + " is null");
  return *found;
}

double Fields::number(const std::string& name) const {
  const Json& value = at(name);
  if (!value.is_number()) {
    fail_input(where(), "field " + show(name) + " must be a number, got " + shown(value));
  }
  return value.get<double>();
}

std::string Fields::text(const std::string& name) const {
  const Json& value = at(name);
  if (!value.is_string()) {
    fail_input(where(), "field " + show(name) + " must be a string, got " + shown(value));
  }
  return value.get<std::string>();
}

bool Fields::boolean(const std::string& name) const {
  const Json& value = at(name);
  if (!value.is_boolean()) {
    fail_input(where(), "field " + show(name) + " must be true or false, got " + shown(value));
  }
  return value.get<bool>();
}

std::vector<std::string> Fields::texts(const std::string& name) const {
  const Json& value = at(name);
  std::vector<std::string> out;
  if (value.is_array()) {
    for (const Json& item : value) {
      if (item.is_string()) out.push_back(item.get<std::string>());
    }
  }
  if (!value.is_array() || out.size() != value.size()) {
    fail_input(where(), "field " + show(name) + " must be a list of strings, got " + shown(value));
  }
  return out;
}

std::vector<double> Fields::numbers(const std::string& name) const {
  const Json& value = at(name);
  std::vector<double> out;
  if (value.is_array()) {
    for (const Json& item : value) {
      if (item.is_number()) out.push_back(item.get<double>());
    }
  }
  if (!value.is_array() || out.size() != value.size()) {
    fail_input(where(), "field " + show(name) + " must be a list of numbers, got " + shown(value));
  }
  return out;
}

double Fields::number_or(const std::string& name, double otherwise) const {
  return has(name) ? number(name) : otherwise;
}

std::string Fields::text_or(const std::string& name, const std::string& otherwise) const {
  return has(name) ? text(name) : otherwise;
}

Json message_json(const Message& message) {
  Json out = {{"role", message.role}, {"content", message.content}};
  for (const auto& [name, value] : message.extra.json().items()) out[name] = value;
  return out;
}

Json conversation_json(const Conversation& conversation) {
  Json out = Json::array();
  for (const Message& message : conversation) out.push_back(message_json(message));
  return out;
}

}  // namespace guerdon
