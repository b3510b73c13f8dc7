// Real templates against the renderings that the real Jinja2 gave (chat-templates in the data
// folder).
#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <nlohmann/json.hpp>

#include "guerdon/base/file.h"
#include "guerdon/data/reader.h"
#include "guerdon/text/chat_template.h"
#include "support/data.h"
#include "text/characters.h"

namespace guerdon::text {
namespace {

class RealTemplates : public testing::Test {
 protected:
  void SetUp() override {
    GUERDON_NEEDS_DATA("chat-templates");
    folder_ = test::data_folder() / "chat-templates";
  }

  const ChatTemplate& chat(const std::string& name) {
    auto found = chats_.find(name);
    if (found == chats_.end()) {
      found =
          chats_.emplace(name, ChatTemplate::parse(read_file(folder_ / "templates" / name), name))
              .first;
    }
    return found->second;
  }

  std::filesystem::path folder_;
  std::map<std::string, ChatTemplate> chats_;
};

Json with_parsed_arguments(Json variables) {
  for (Json& message : variables["messages"]) {
    if (!message.contains("tool_calls")) continue;
    for (Json& call : message["tool_calls"]) {
      Json& arguments = call["function"]["arguments"];
      if (arguments.is_string()) arguments = parse_json(arguments.get<std::string>(), "arguments");
    }
  }
  return variables;
}

TEST_F(RealTemplates, GiveTheRenderingsSpansAndErrorsOfJinja2) {
  const Json templates = read_json(folder_ / "templates.json");
  const Json contexts = read_json(folder_ / "contexts.json");
  data::RowReader rows(folder_ / "cases.jsonl.gz");
  int64_t count = 0;
  while (const std::optional<data::Row> row = rows.next()) {
    const Json& expected = row->fields.json();
    const auto name = expected["template"].get<std::string>();
    SCOPED_TRACE(name + " with " + expected["context"].get<std::string>());
    Json variables = contexts[expected["context"].get<std::string>()];
    if (!variables.contains("tools")) variables["tools"] = nullptr;
    variables["add_generation_prompt"] = expected["add_generation_prompt"];
    for (const char* token : {"bos_token", "eos_token"}) variables[token] = templates[name][token];
    if (expected.contains("kwargs")) variables.update(expected["kwargs"]);
    variables["strftime_now_iso"] = "2024-07-26T12:00:00";
    ++count;
    EXPECT_EQ(chat(name).has_generation_tags(), templates[name]["has_generation_tags"].get<bool>());
    try {
      const Rendered result = chat(name).render(variables);
      ASSERT_TRUE(expected.contains("rendered")) << "was to be refused: " << expected["error"];
      EXPECT_EQ(result.text, expected["rendered"].get<std::string>());
      if (expected.contains("assistant_spans")) {
        EXPECT_EQ(in_characters(result), clamped(expected["assistant_spans"], result.text));
      }
    } catch (const Error& error) {
      ASSERT_TRUE(expected.contains("error")) << error.what();
      EXPECT_EQ(error.kind, Kind::input);
      if (expected["error_type"] == "TemplateError") {
        EXPECT_EQ(error.what(), expected["error"].get<std::string>());
      }
    }
  }
  EXPECT_EQ(count, 2898);
}

TEST_F(RealTemplates, GiveThePublishedRenderings) {
  const Json contexts = read_json(folder_ / "published_contexts.json");
  data::RowReader rows(folder_ / "published_goldens.jsonl");
  int64_t count = 0;
  while (const std::optional<data::Row> row = rows.next()) {
    const Json& expected = row->fields.json();
    const auto name = expected["template"].get<std::string>();
    Json variables = contexts[expected["context"].get<std::string>()];
    variables["strftime_now_iso"] = "2024-07-26T12:00:00";
    // Where a template prints tool arguments as JSON, the publishers passed them parsed.
    const std::string text = expected["rendered"].get<std::string>();
    const bool as_given = chat(name).render(variables).text == text;
    EXPECT_TRUE(as_given || chat(name).render(with_parsed_arguments(variables)).text == text)
        << name << " with " << expected["context"];
    ++count;
  }
  EXPECT_EQ(count, 38);
}

TEST_F(RealTemplates, RenderAConversationInWellUnderAMillisecond) {
  const ChatTemplate& qwen = chat("hf/Qwen-Qwen2.5-7B-Instruct.jinja");
  Json variables = read_json(folder_ / "published_contexts.json")["tool_use"];
  double best = 1e9;
  for (int i = 0; i < 20; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    qwen.render(variables);
    const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - begin;
    best = std::min(best, took.count());
  }
  RecordProperty("milliseconds", std::to_string(best));
  EXPECT_LT(best, 5.0);  // measured 0.1; loose for sanitizers and busy machines
}

}  // namespace
}  // namespace guerdon::text
