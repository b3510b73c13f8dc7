#include "guerdon/data/model_folder.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "support/errors.h"
#include "support/temporary.h"

namespace guerdon::data {
namespace {
using test::refusal;
namespace fs = std::filesystem;

TEST(ModelFolder, IsTheFolderOrTheModelOfARun) {
  const test::TemporaryFolder folder;
  const fs::path root = folder.path();
  folder.file("m/config.json", "{}");
  folder.file("run/config.json", "{}");  // the run's settings
  folder.file("run/model/config.json", "{}");
  EXPECT_EQ(model_folder(root / "m"), root / "m");
  EXPECT_EQ(model_folder(root / "run"), root / "run/model");
  EXPECT_EQ(find_model(root / "run").folder, root / "run/model");
  EXPECT_TRUE(find_model(root / "run").adapter.empty());
  folder.file("words/tokenizer.json", "{}");
  EXPECT_NE(refusal(Kind::input, [&] { find_model(root / "words"); }).find("holds no model"),
            std::string::npos);
}

TEST(ModelFolder, OfAnAdapterIsTheModelThatItNames) {
  const test::TemporaryFolder folder;
  const fs::path root = folder.path();
  folder.file("m/config.json", "{}");
  folder.file("run/model/adapter_config.json",
              nlohmann::json{{"base_model_name_or_path", (root / "m").string()}}.dump());
  for (const fs::path& path : {root / "run", root / "run/model"}) {
    EXPECT_EQ(find_model(path).folder, root / "m");
    EXPECT_EQ(find_model(path).adapter, root / "run/model");
    EXPECT_EQ(tokenizer_path(path), root / "m");
    EXPECT_NE(refusal(Kind::input, [&] { model_folder(path); }).find("is an adapter"),
              std::string::npos);
  }
  // Beside the adapter, where the folder was moved as a whole.
  folder.file("near/adapter_config.json", R"({"base_model_name_or_path": "../m"})");
  EXPECT_TRUE(fs::equivalent(find_model(root / "near").folder, root / "m"));

  folder.file("hub/adapter_config.json", R"({"base_model_name_or_path": "someone/model"})");
  EXPECT_NE(refusal(Kind::input, [&] { find_model(root / "hub"); })
                .find("names \"someone/model\", which is no folder here"),
            std::string::npos);
  folder.file("none/adapter_config.json", "{}");
  EXPECT_NE(refusal(Kind::input, [&] { find_model(root / "none"); }).find("is missing"),
            std::string::npos);
  folder.file("itself/adapter_config.json",
              nlohmann::json{{"base_model_name_or_path", (root / "itself").string()}}.dump());
  EXPECT_NE(refusal(Kind::input, [&] { find_model(root / "itself"); }).find("is an adapter"),
            std::string::npos);
}

TEST(TokenizerPath, LooksIntoRunsAndTakesAllElseAsItIs) {
  const test::TemporaryFolder folder;
  const fs::path root = folder.path();
  folder.file("run/config.json", "{}");  // the run's settings
  folder.file("run/model/config.json", "{}");
  folder.file("words/tokenizer.json", "{}");
  EXPECT_EQ(tokenizer_path(root / "run"), root / "run/model");
  EXPECT_EQ(tokenizer_path(root / "words"), root / "words");
  EXPECT_EQ(tokenizer_path(root / "words/tokenizer.json"), root / "words/tokenizer.json");
}

}  // namespace
}  // namespace guerdon::data
