#include "guerdon/rules/reply.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"
#include "guerdon/base/json_reader.h"

namespace guerdon::rules {

Reply read_reply(std::string_view line) {
  Json json = parse_json(line, "its reply");
  Reply reply;
  if (json.is_object()) {
    if (json.contains("error") && !json["error"].is_null()) {
      const Json& error = json["error"];
      fail_input("", error.is_string() ? error.get<std::string>() : error.dump());
    }
    if (json.contains("note") && json["note"].is_string()) reply.note = json["note"];
    if (!json.contains("score")) fail_input("", "its reply has no \"score\": " + show(line));
    json = Json(json["score"]);
  }
  if (json.is_null()) return reply;
  if (!json.is_number()) fail_input("", "its score is no number: " + show(line));
  reply.score = json.get<double>();
  if (std::abs(*reply.score) > std::numeric_limits<float>::max())
    fail_input("", "its score is too large: " + show(line));
  return reply;
}

}  // namespace guerdon::rules
