#include "base/manifest.h"

#include <gtest/gtest.h>

#include "guerdon/base/file.h"
#include "support/errors.h"

namespace guerdon {
namespace {

const std::string kHash = sha256("content");

/// The text of a manifest with these files, whatever they are.
std::string with_files(const Json& files) {
  const std::string text = Json{{"step", 3}, {"files", files}}.dump(1);
  const std::string body = text.substr(0, text.size() - 2);
  return body + ",\n \"sha256\": \"" + sha256(body) + "\"\n}\n";
}

TEST(Manifest, ComesBack) {
  const Manifest manifest{.fields = {{"format", 1}, {"step", 3}},
                          .files = {{"model.safetensors", {7, kHash}}, {"sub/a b", {0, kHash}}}};
  const Manifest back = parse_manifest(manifest_text(manifest), "m.json");
  EXPECT_EQ(back.fields, manifest.fields);
  ASSERT_EQ(back.files.size(), 2u);
  EXPECT_EQ(back.files.at("model.safetensors").size, 7u);
  EXPECT_EQ(back.files.at("sub/a b").sha256, kHash);
}

TEST(Manifest, AnyChangeOfItsTextIsSeen) {
  const std::string text = manifest_text({.fields = {{"step", 3}}, .files = {{"a", {7, kHash}}}});
  for (size_t i = 0; i < text.size(); ++i) {
    std::string changed = text;
    changed[i] ^= 1;
    EXPECT_EQ(test::refusal(Kind::input, [&] { parse_manifest(changed, "m.json"); }),
              "m.json: was changed or cut; the file is damaged");
    test::refusal(Kind::input, [&] { parse_manifest(text.substr(0, i), "m.json"); });
  }
}

TEST(Manifest, NamesNoFileOutsideItsFolder) {
  for (const char* name : {"", "..", "../a", "a/../../b", "/etc/passwd", "./a", "a/"}) {
    const std::string text = test::refusal(Kind::input, [&] {
      parse_manifest(with_files({{name, {{"size", 1}, {"sha256", kHash}}}}), "m.json");
    });
    EXPECT_NE(text.find("is no name of a file inside the folder"), std::string::npos) << text;
  }
}

TEST(Manifest, NeedsASizeAndAHashForEachFile) {
  EXPECT_NO_THROW(parse_manifest(with_files({{"a", {{"size", 1}, {"sha256", kHash}}}}), "m.json"));
  for (const Json& entry :
       {Json(3), Json::object(), Json{{"size", 1}}, Json{{"size", -1}, {"sha256", kHash}},
        Json{{"size", 1e300}, {"sha256", kHash}}, Json{{"size", 1}, {"sha256", "abc"}}}) {
    EXPECT_EQ(test::refusal(Kind::input,
                            [&] {
                              parse_manifest(with_files({{"a", entry}}), "m.json");
                            }),
              "m.json: key files[\"a\"]: needs a size and a SHA-256");
  }
  test::refusal(Kind::input, [&] { parse_manifest(with_files(3), "m.json"); });
}

}  // namespace
}  // namespace guerdon
