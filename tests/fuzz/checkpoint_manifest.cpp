// Manifests, as they come and with a right seal (which no random text has): what is taken lies
// inside its folder and reads back as itself.
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/manifest.h"
#include "guerdon/base/error.h"
#include "guerdon/base/file.h"

namespace {

using namespace guerdon;

void check(std::string_view text) {
  try {
    const Manifest manifest = parse_manifest(text, "manifest.json");
    for (const auto& [name, file] : manifest.files) {
      const std::filesystem::path path = std::filesystem::path("folder") / name;
      GUERDON_CHECK(path.lexically_normal().string().starts_with("folder/"), "outside: ", name);
    }
    const Manifest back = parse_manifest(manifest_text(manifest), "again");
    GUERDON_CHECK(back.fields == manifest.fields && back.files.size() == manifest.files.size(),
                  "the manifest reads back differently");
  } catch (const Error& error) {
    if (error.kind != Kind::input) throw;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check(text);
  check(std::string(text) + ",\n \"sha256\": \"" + sha256(text) + "\"\n}\n");
  return 0;
}
