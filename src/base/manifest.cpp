#include "base/manifest.h"

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "guerdon/base/error.h"
#include "guerdon/base/file.h"

namespace guerdon {
namespace {

constexpr std::string_view kSeal = ",\n \"sha256\": ";

std::string sealed(std::string_view text) {
  return std::string(text) + std::string(kSeal) + "\"" + sha256(text) + "\"\n}\n";
}

bool is_sealed(std::string_view text) {
  const size_t end = text.rfind(kSeal);
  return end != std::string_view::npos && text == sealed(text.substr(0, end));
}

/// "model.safetensors", "sub/x.json": no way out of the folder.
bool is_inside(const std::string& name) {
  const std::filesystem::path path(name);
  return !name.empty() && name.find('\0') == std::string::npos && path.is_relative() &&
         std::none_of(path.begin(), path.end(),
                      [](const auto& part) { return part.empty() || part == "." || part == ".."; });
}

bool is_hash(const std::string& text) {
  return text.size() == 64 && std::all_of(text.begin(), text.end(),
                                          [](unsigned char c) { return std::isxdigit(c) != 0; });
}

}  // namespace

std::string manifest_text(const Manifest& manifest) {
  Json json = manifest.fields;
  Json& files = json["files"] = Json::object();
  for (const auto& [name, file] : manifest.files)
    files[name] = {{"size", file.size}, {"sha256", file.sha256}};
  const std::string text = json.dump(1);
  return sealed(std::string_view(text).substr(0, text.size() - 2));  // without its last "\n}"
}

Manifest parse_manifest(std::string_view text, const std::string& where) {
  if (!is_sealed(text)) fail_input(where, "was changed or cut; the file is damaged");
  Manifest manifest;
  manifest.fields = parse_json(text, where);
  const auto files = manifest.fields.find("files");
  if (files == manifest.fields.end() || !files->is_object())
    fail_input(where, "is not a manifest: key files: must be an object");
  for (const auto& [name, entry] : files->items()) {
    const std::string place = "key files[" + show(name) + "]: ";
    if (!is_inside(name)) fail_input(where, place + "is no name of a file inside the folder");
    const auto size = entry.is_object() ? entry.find("size") : entry.end();
    const auto hash = entry.is_object() ? entry.find("sha256") : entry.end();
    if (size == entry.end() || !size->is_number_unsigned() || hash == entry.end() ||
        !hash->is_string() || !is_hash(hash->get<std::string>()))
      fail_input(where, place + "needs a size and a SHA-256");
    manifest.files[name] = {size->get<uint64_t>(), hash->get<std::string>()};
  }
  manifest.fields.erase("files");
  manifest.fields.erase("sha256");
  return manifest;
}

}  // namespace guerdon
