// Where model folders keep their chat templates.
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "guerdon/base/error.h"
#include "guerdon/base/file.h"
#include "guerdon/text/chat_template.h"

namespace guerdon::text {
namespace {

namespace fs = std::filesystem;

constexpr size_t kLongestFile = size_t{16} << 20;  // bytes

struct Found {
  std::string source, place;
};

/// What one of the folder's places has: the template asked for, or the names of others.
struct Place {
  std::optional<Found> found;
  std::vector<std::string> names;
};

std::optional<Found> from_file(const fs::path& file) {
  if (!fs::is_regular_file(file)) return std::nullopt;
  return Found{read_file(file, kLongestFile), file.string()};
}

/// The entry "chat_template" of a JSON file: a text, or a list of {name, template}.
Place from_json_file(const fs::path& file, const std::string& which) {
  Place result;
  if (!fs::is_regular_file(file)) return result;
  const Json json = read_json(file);
  if (!json.is_object()) fail_input(file.string(), "must hold an object");
  const auto entry = json.find("chat_template");
  if (entry == json.end() || entry->is_null()) return result;
  const std::string place = file.string() + ": key chat_template";
  const auto offer = [&](const std::string& name, const Json& source) {
    if (!source.is_string()) fail_input(place, "a template must be a string");
    result.names.push_back(name);
    if (name == which) result.found = Found{source.get<std::string>(), place};
  };
  if (!entry->is_array()) {
    offer("default", *entry);
    return result;
  }
  for (const Json& each : *entry) {
    const bool sound = each.is_object() && each.contains("name") && each["name"].is_string() &&
                       each.contains("template");
    if (!sound) fail_input(place, R"(each entry must be an object with "name" and "template")");
    offer(each["name"].get<std::string>(), each["template"]);
  }
  return result;
}

/// All places, the first one wins.
Place look(const fs::path& folder, const std::string& which) {
  if (which.find('/') != std::string::npos)
    fail_input(folder.string(), "no chat template is called " + show(which));
  Place result;
  result.found =
      from_file(which == "default" ? folder / "chat_template.jinja"
                                   : folder / "additional_chat_templates" / (which + ".jinja"));
  for (const char* file : {"tokenizer_config.json", "chat_template.json"}) {
    if (result.found) return result;
    Place more = from_json_file(folder / file, which);
    result.found = std::move(more.found);
    result.names.insert(result.names.end(), more.names.begin(), more.names.end());
  }
  return result;
}

}  // namespace

bool ChatTemplate::exists(const fs::path& folder) {
  return look(folder, "default").found.has_value();
}

ChatTemplate ChatTemplate::load(const fs::path& folder, const std::string& which) {
  const std::string name = which.empty() ? "default" : which;
  const Place place = look(folder, name);
  if (place.found) return parse(place.found->source, place.found->place);
  std::string others;
  for (const std::string& other : place.names)
    others += (others.empty() ? "; there are " : ", ") + show(other);
  fail_input(
      folder.string(),
      "has no chat template" + (which.empty() ? "" : " called " + show(which)) + others,
      "a chat_template.jinja, or an entry chat_template in tokenizer_config.json, holds one");
}

}  // namespace guerdon::text
