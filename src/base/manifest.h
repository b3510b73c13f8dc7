/// The list of what belongs to a folder, as a file inside it: damage, loss and additions show.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "guerdon/base/json_reader.h"

namespace guerdon {

struct Manifest {
  struct File {
    uint64_t size = 0;
    std::string sha256;
  };
  Json fields = Json::object();       ///< what else it says, by name: "step", "time"
  std::map<std::string, File> files;  ///< by name relative to the folder; never outside it
};

/// JSON that ends with the hash of all text before it, so that the manifest guards itself too.
std::string manifest_text(const Manifest& manifest);

/// Throws Error (Kind::input) when the text was changed or cut, or is no manifest.
Manifest parse_manifest(std::string_view text, const std::string& where);

}  // namespace guerdon
