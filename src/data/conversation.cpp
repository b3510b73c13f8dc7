#include "data/conversation.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"

namespace guerdon::data {
namespace {

struct RoleName {
  std::string_view theirs, ours;
};
// "developer" is OpenAI's newer word for "system"; function_call is an assistant's turn whose text
// is the call.
constexpr std::array<RoleName, 18> kRoles{{{"system", "system"},
                                           {"developer", "system"},
                                           {"user", "user"},
                                           {"human", "user"},
                                           {"prompter", "user"},
                                           {"question", "user"},
                                           {"assistant", "assistant"},
                                           {"gpt", "assistant"},
                                           {"chatgpt", "assistant"},
                                           {"bot", "assistant"},
                                           {"model", "assistant"},
                                           {"answer", "assistant"},
                                           {"function_call", "assistant"},
                                           {"tool_call", "assistant"},
                                           {"tool", "tool"},
                                           {"function", "tool"},
                                           {"observation", "tool"},
                                           {"tool_response", "tool"}}};

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

std::string_view strip(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n\v\f";
  const size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) + 1 - begin);
}

std::string kind_of(const Json& value) {
  if (value.is_null()) return "null";
  return str(value.is_object() ? "an " : "a ", value.type_name());
}

/// Text of a message's content: a string, or a list of parts of which all are text.
std::string read_content(const Json& content, const std::string& place, const std::string& where) {
  if (content.is_string()) return content.get<std::string>();
  if (content.is_array()) {
    std::string out;
    for (const Json& part : content) {
      const bool is_text = part.is_object() && part.contains("type") && part["type"] == "text" &&
                           part.contains("text") && part["text"].is_string();
      if (!is_text) {
        fail_input(where, place + " has a part that is not text (guerdon reads text only)");
      }
      out += part["text"].get_ref<const std::string&>();
    }
    return out;
  }
  fail_input(where, place + ": its content must be a string, got " + kind_of(content));
}

/// ShareGPT's function_call: the value is the call as JSON, or a list of calls.
Json tool_calls_of(const std::string& value, const std::string& place, const std::string& where) {
  const Json parsed = parse_json(value, where + ": " + place);
  Json calls = Json::array();
  for (const Json& call : parsed.is_array() ? parsed : Json::array({parsed})) {
    if (!call.is_object() || !call.contains("name")) {
      fail_input(where, place + ": a function call needs a name and arguments");
    }
    calls.push_back(
        {{"type", "function"},
         {"function",
          {{"name", call["name"]}, {"arguments", call.value("arguments", Json::object())}}}});
  }
  return calls;
}

Message read_message(const Json& value, const std::string& place, const std::string& where) {
  if (!value.is_object()) fail_input(where, place + " must be an object, got " + kind_of(value));
  const bool share_gpt = !value.contains("role") && value.contains("from");
  const std::string role_key = share_gpt ? "from" : "role",
                    content_key = share_gpt ? "value" : "content";
  if (!value.contains(role_key)) fail_input(where, place + " has no \"role\"");
  if (!value[role_key].is_string()) fail_input(where, place + ": its role must be a string");
  const std::string role = lower(value[role_key].get_ref<const std::string&>());

  Message message;
  for (const RoleName& name : kRoles) {
    if (name.theirs == role) message.role = name.ours;
  }
  if (message.role.empty()) {
    fail_input(where, place + ": role " + show(value[role_key].get_ref<const std::string&>()) +
                          " is not known (expected system, user, assistant or tool)");
  }

  Json extra = Json::object();
  for (const auto& [key, item] : value.items()) {
    // A null is as good as missing: many templates would print it.
    if (key != role_key && key != content_key && !item.is_null()) extra[key] = item;
  }
  const bool has_content = value.contains(content_key) && !value[content_key].is_null();
  if (has_content) {
    message.content = read_content(value[content_key], place, where);
  } else if (!extra.contains("tool_calls")) {
    fail_input(where, place + " has no \"" + content_key + "\"");
  }
  if (share_gpt && (role == "function_call" || role == "tool_call")) {
    extra["tool_calls"] = tool_calls_of(message.content, place, where);
    message.content.clear();
  }
  if (!extra.empty()) message.extra = Fields(std::move(extra), where);
  return message;
}

}  // namespace

Conversation read_conversation(const Json& value, const std::string& name,
                               const std::string& where) {
  if (value.is_object()) return {read_message(value, "field " + show(name), where)};
  if (!value.is_array()) {
    fail_input(where, "field " + show(name) + " must be a list of messages, got " + kind_of(value));
  }
  if (value.empty()) fail_input(where, "field " + show(name) + " is an empty list of messages");
  Conversation out;
  for (const Json& message : value) {
    out.push_back(
        read_message(message, str("field ", show(name), ", message ", out.size() + 1), where));
  }
  return out;
}

Text read_text(const Json& value, const std::string& name, const std::string& where) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_null()) fail_input(where, "field " + show(name) + " is null");
  const bool messages =
      value.is_object() || (value.is_array() && (value.empty() || value[0].is_object()));
  if (!messages) {
    fail_input(where, "field " + show(name) + " must be a string or a list of messages, got " +
                          kind_of(value) + (value.is_array() ? " of other things" : ""));
  }
  return read_conversation(value, name, where);
}

bool is_transcript(std::string_view text) { return text.starts_with("\n\nHuman:"); }

Conversation read_transcript(std::string_view text) {
  constexpr std::string_view kHuman = "\n\nHuman:", kAssistant = "\n\nAssistant:";
  Conversation out;
  while (!text.empty()) {
    const bool human = text.starts_with(kHuman);
    text.remove_prefix(human ? kHuman.size() : kAssistant.size());
    const size_t end = std::min({text.find(kHuman), text.find(kAssistant), text.size()});
    out.push_back({human ? "user" : "assistant", std::string(strip(text.substr(0, end))), {}});
    text.remove_prefix(end);
  }
  return out;
}

Conversation as_turn(const Text& text, const std::string& role) {
  if (const auto* conversation = std::get_if<Conversation>(&text)) return *conversation;
  return {{role, std::get<std::string>(text), {}}};
}

bool ends_a_prompt(const Message& message) {
  return message.role == "user" || message.role == "tool";
}

bool same_message(const Message& a, const Message& b) {
  return a.role == b.role && a.content == b.content && a.extra.json() == b.extra.json();
}

}  // namespace guerdon::data
