#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "guerdon/text/chat_template.h"
#include "support/errors.h"
#include "support/temporary.h"

namespace guerdon::text {
namespace {

std::string loaded(const test::TemporaryFolder& folder, const std::string& which = {}) {
  return ChatTemplate::load(folder.path(), which).render(Json::object()).text;
}

TEST(ChatTemplateFolder, PrefersTheFileOfItsOwn) {
  const test::TemporaryFolder folder;
  folder.file("tokenizer_config.json", R"({"chat_template": "from the config"})");
  EXPECT_EQ(loaded(folder), "from the config");
  folder.file("chat_template.jinja", "from the file");
  EXPECT_EQ(loaded(folder), "from the file");
  EXPECT_TRUE(ChatTemplate::exists(folder.path()));
}

TEST(ChatTemplateFolder, ChoosesFromAListByName) {
  const test::TemporaryFolder folder;
  folder.file("tokenizer_config.json", R"({"chat_template": [
      {"name": "tool_use", "template": "tools"}, {"name": "default", "template": "plain"}]})");
  EXPECT_EQ(loaded(folder), "plain");
  EXPECT_EQ(loaded(folder, "default"), "plain");
  EXPECT_EQ(loaded(folder, "tool_use"), "tools");
  const std::string error = test::refusal(Kind::input, [&] { loaded(folder, "rag"); });
  EXPECT_NE(error.find("no chat template called \"rag\"; there are \"tool_use\", \"default\""),
            std::string::npos)
      << error;
}

TEST(ChatTemplateFolder, LooksIntoAdditionalTemplatesAndProcessors) {
  const test::TemporaryFolder folder;
  folder.file("chat_template.json", R"({"chat_template": "of a processor"})");
  folder.file("additional_chat_templates/rag.jinja", "retrieval");
  EXPECT_EQ(loaded(folder), "of a processor");
  EXPECT_EQ(loaded(folder, "rag"), "retrieval");
  test::refusal(Kind::input, [&] { loaded(folder, "../rag"); });
}

TEST(ChatTemplateFolder, RefusesFoldersWithoutOne) {
  const test::TemporaryFolder folder;
  EXPECT_FALSE(ChatTemplate::exists(folder.path()));
  test::refusal(Kind::input, [&] { loaded(folder); });
  folder.file("tokenizer_config.json", R"({"chat_template": null})");
  EXPECT_FALSE(ChatTemplate::exists(folder.path()));
  folder.file("tokenizer_config.json", R"({"chat_template": 5})");
  const std::string error = test::refusal(Kind::input, [&] { loaded(folder); });
  EXPECT_NE(error.find("tokenizer_config.json: key chat_template"), std::string::npos) << error;
}

TEST(ChatTemplateFolder, NamesTheFileInErrors) {
  const test::TemporaryFolder folder;
  folder.file("chat_template.jinja", "x\n{{ ) }}");
  const std::string error = test::refusal(Kind::input, [&] { loaded(folder); });
  EXPECT_NE(error.find("chat_template.jinja:2:4: "), std::string::npos) << error;
}

}  // namespace
}  // namespace guerdon::text
