#include "guerdon/data/safetensors_header.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "guerdon/base/file.h"
#include "guerdon/base/json_reader.h"
#include "support/data.h"
#include "support/errors.h"
#include "support/temporary.h"

namespace guerdon::data {
namespace {
using test::refusal;
using test::TemporaryFolder;

std::string file_of(const std::string& header, size_t data_bytes) {
  std::string out;
  for (size_t i = 0; i < 8; ++i) out.push_back(static_cast<char>(header.size() >> (8 * i) & 0xff));
  return out + header + std::string(data_bytes, '\0');
}

TEST(SafetensorsHeader, WritesWhatItReads) {
  std::string file = safetensors_header(
      {{"a", "F32", {2, 3}}, {"b/../c", "BF16", {}}, {"none", "F64", {0, 4}}}, {{"format", "pt"}});
  EXPECT_EQ(file.size() % 8, 0U);
  file.append(26, '\0');
  const SafetensorsHeader header = read_safetensors_header(file, "m");
  ASSERT_EQ(header.tensors.size(), 3U);
  EXPECT_EQ(header.metadata.at("format"), "pt");
  ASSERT_NE(header.find("a"), nullptr);
  EXPECT_EQ(header.find("a")->shape, (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(header.find("a")->bytes(), 24U);
  EXPECT_EQ(header.find("b/../c")->begin, header.find("a")->end);
  EXPECT_EQ(header.find("b/../c")->elements(), 1);
  EXPECT_EQ(header.find("none")->elements(), 0);
  EXPECT_EQ(header.find("d"), nullptr);
}

TEST(SafetensorsHeader, SaysWhatIsWrong) {
  const auto said = [](const std::string& header, size_t bytes) {
    return refusal(Kind::input, [&] { read_safetensors_header(file_of(header, bytes), "m"); });
  };
  EXPECT_EQ(said(R"({"w":{"dtype":"F32","shape":[2,2],"data_offsets":[0,8]}})", 8),
            "m: tensor \"w\": shape [2, 2] of F32 needs 16 bytes, data_offsets give 8");
  EXPECT_EQ(
      said(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", 8),
      "m: tensor \"w\": leaves a hole after the tensor before it: its data begin at 4, expected 0");
  EXPECT_EQ(said(R"({"w":{"dtype":"F4","shape":[1],"data_offsets":[0,1]}})", 1),
            "m: tensor \"w\": shape [1] does not fill whole bytes");
}

TEST(SafetensorsHeader, EveryBadFileGetsItsOutcome) {
  GUERDON_NEEDS_DATA("bad-inputs");
  const auto folder = test::data_folder() / "bad-inputs";
  std::istringstream cases(read_file(folder / "cases.jsonl"));
  int seen = 0;
  for (std::string line; std::getline(cases, line);) {
    const Json row = parse_json(line, "cases");
    const std::string name = row["file"], expect = row["expect"];
    if (!name.starts_with("safetensors/")) continue;
    ++seen;
    const std::string bytes = read_file(folder / name);
    bool accepted = true;
    std::string said;
    try {
      read_safetensors_header(bytes, name);
    } catch (const Error& error) {
      accepted = false;
      said = error.what();
      EXPECT_EQ(error.kind, Kind::input) << said;
      EXPECT_TRUE(said.starts_with(name + ": ")) << said;
    }
    if (expect != "either") {
      EXPECT_EQ(accepted, expect == "accept") << name << ": " << said;
    }
  }
  EXPECT_EQ(seen, 39);
}

TEST(ShardIndex, TakesASingleFile) {
  const TemporaryFolder folder;
  folder.file("model.safetensors", "x");
  const ShardIndex index = read_shard_index(folder.path());
  EXPECT_EQ(index.files, std::vector<std::string>{"model.safetensors"});
  EXPECT_TRUE(index.tensor_in.empty());
}

TEST(ShardIndex, ReadsTheMap) {
  const TemporaryFolder folder;
  folder.file("b.safetensors", "x");
  folder.file("a.safetensors", "x");
  folder.file(
      "model.safetensors.index.json",
      R"({"metadata":{"total_size":1},"weight_map":{"w":"b.safetensors","v":"a.safetensors"}})");
  const ShardIndex index = read_shard_index(folder.path());
  EXPECT_EQ(index.files, (std::vector<std::string>{"a.safetensors", "b.safetensors"}));
  EXPECT_EQ(index.tensor_in.at("w"), "b.safetensors");

  const SafetensorsHeader only_w{.tensors = {{"w", "F32", {}, 0, 4}}, .metadata = {}};
  EXPECT_NO_THROW(check_shard(index, "b.safetensors", only_w, "b"));
  EXPECT_EQ(refusal(Kind::input, [&] { check_shard(index, "a.safetensors", only_w, "a"); }),
            "a: tensor \"w\": should lie in \"b.safetensors\"");
  EXPECT_EQ(refusal(Kind::input, [&] { check_shard(index, "b.safetensors", {}, "b"); }),
            "b: tensor \"w\": is missing; model.safetensors.index.json puts it here");
}

TEST(ShardIndex, StaysInItsFolder) {
  for (const std::string file :
       {"../model.safetensors", "/etc/passwd", "..", "", "a/b.safetensors", "missing"}) {
    const TemporaryFolder folder;
    folder.file("model.safetensors.index.json", Json{{"weight_map", {{"w", file}}}}.dump());
    refusal(Kind::input, [&] { read_shard_index(folder.path()); });
  }
}

TEST(ShardIndex, RefusesPickles) {
  const TemporaryFolder folder;
  folder.file("pytorch_model.bin", "x");
  EXPECT_NE(refusal(Kind::input, [&] { read_shard_index(folder.path()); })
                .find("does not load pickle files"),
            std::string::npos);
}

}  // namespace
}  // namespace guerdon::data
