// `guerdon tokenize` and `guerdon tokenizer train` as their users meet them.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "guerdon/base/file.h"
#include "guerdon/base/json_reader.h"
#include "support/program.h"
#include "support/temporary.h"

namespace guerdon::test {
namespace {

/// A model folder with a vocabulary of bytes and a few words, an EOS and a chat template.
class Tokenize : public testing::Test {
 protected:
  void SetUp() override {
    folder_.file("texts.jsonl",
                 "{\"text\":\"hello hello hello world\"}\n"
                 "{\"messages\":[{\"role\":\"user\",\"content\":\"hello world world\"}]}\n");
    ASSERT_EQ(run("tokenizer train --data DIR/texts.jsonl --output DIR/model --vocabulary-size 270 "
                  "--special-token '<|user|>' 2>/dev/null")
                  .code,
              0);
    folder_.file("model/chat_template.jinja",
                 "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
                 "{{ greeting }}{% if add_generation_prompt %}{{ eos_token }}{% endif %}");
  }
  /// DIR in the arguments stands for the test's folder.
  Ran run(std::string arguments) const {
    for (size_t at; (at = arguments.find("DIR")) != std::string::npos;)
      arguments.replace(at, 3, folder_.path().string());
    return run_guerdon(arguments);
  }
  Ran tokenize(const std::string& rows, const std::string& options = {}) const {
    folder_.file("rows.jsonl", rows);
    return run("tokenize --model DIR/model --data DIR/rows.jsonl " + options);
  }
  std::string in_folder(const std::string& name) const { return (folder_.path() / name).string(); }

  TemporaryFolder folder_;
};

TEST_F(Tokenize, IdsAndBack) {
  const Ran encoded = tokenize("{\"text\":\"hello world\"}\n{\"text\":\"\"}\n");
  ASSERT_EQ(encoded.code, 0) << encoded.out;
  EXPECT_EQ(encoded.out.substr(0, 18), "{\"index\":0,\"ids\":[");
  EXPECT_NE(encoded.out.find("{\"index\":1,\"ids\":[]}\n"), std::string::npos);
  EXPECT_EQ(tokenize(encoded.out, "--decode").out,
            "{\"index\":0,\"text\":\"hello world\"}\n{\"index\":1,\"text\":\"\"}\n");
}

TEST_F(Tokenize, SpecialTokensAreTheFirstIdsAndCanBeSkipped) {
  EXPECT_EQ(tokenize("{\"text\":\"<|endoftext|><|user|>\"}\n").out,
            "{\"index\":0,\"ids\":[0,1]}\n");
  EXPECT_EQ(tokenize("{\"ids\":[0,1]}\n", "--decode").out,
            "{\"index\":0,\"text\":\"<|endoftext|><|user|>\"}\n");
  EXPECT_EQ(tokenize("{\"ids\":[0,1]}\n", "--decode --skip-special-tokens").out,
            "{\"index\":0,\"text\":\"\"}\n");
}

TEST_F(Tokenize, WhatThePostProcessorAddsCanBeLeftOut) {
  Json json = read_json(folder_.path() / "model" / "tokenizer.json");
  json["post_processor"] = {
      {"type", "BertProcessing"}, {"cls", {"<|user|>", 1}}, {"sep", {"<|endoftext|>", 0}}};
  folder_.file("model/tokenizer.json", json.dump());
  EXPECT_EQ(tokenize("{\"text\":\"\"}\n").out, "{\"index\":0,\"ids\":[1,0]}\n");
  EXPECT_EQ(tokenize("{\"text\":\"\"}\n", "--no-special-tokens").out, "{\"index\":0,\"ids\":[]}\n");
}

TEST_F(Tokenize, ConversationsGoThroughTheTemplate) {
  const std::string row =
      "{\"messages\":[{\"role\":\"user\",\"content\":\"\"}],\"add_generation_prompt\":true,"
      "\"greeting\":\"\"}\n";
  EXPECT_EQ(tokenize(row, "--chat").out,
            "{\"index\":0,\"text\":\"<|user|><|endoftext|>\",\"ids\":[1,0]}\n");
  const auto own = folder_.file("own.jinja", "{{ bos_token is defined }} {{ tools is none }}");
  const std::string out = tokenize(row, "--chat --chat-template " + own.string()).out;
  EXPECT_NE(out.find("\"text\":\"False True\""), std::string::npos) << out;
}

TEST_F(Tokenize, RefusalsNameTheRow) {
  EXPECT_EQ(tokenize("{\"text\":\"a\"}\n{\"tekst\":\"a\"}\n", "2>&1 >/dev/null").out,
            "guerdon: error: " + in_folder("rows.jsonl") +
                ":2: field \"text\" is missing (have: tekst)\n");
  const Ran bad_id = tokenize("{\"ids\":[100000]}\n", "--decode 2>&1");
  EXPECT_EQ(bad_id.code, 3);
  EXPECT_EQ(bad_id.out.find("guerdon: error: " + in_folder("rows.jsonl") +
                            ":1: field \"ids\" must be an array of token ids below "),
            0u)
      << bad_id.out;
  const auto refuses = folder_.file("refuses.jinja", "{{ raise_exception('no such role') }}");
  const Ran refused =
      tokenize("{\"messages\":[]}\n", "--chat --chat-template " + refuses.string() + " 2>&1");
  EXPECT_EQ(refused.code, 3);
  EXPECT_NE(refused.out.find(":1: "), std::string::npos);
  EXPECT_NE(refused.out.find("no such role"), std::string::npos) << refused.out;
  EXPECT_EQ(tokenize("{\"text\":\"a\"}\n", "--decode --chat 2>&1").code, 2);
  EXPECT_EQ(run("tokenize --model DIR --data DIR/rows.jsonl 2>&1").code, 3);
}

TEST_F(Tokenize, TrainingSaysWhatIsImpossible) {
  EXPECT_EQ(
      run("tokenizer train --data DIR/texts.jsonl --output DIR/m --vocabulary-size 10 2>&1").code,
      2);
  EXPECT_EQ(run("tokenizer train --data DIR/texts.jsonl --output DIR/m --column nothing 2>&1").code,
            3);
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "m"));
}

}  // namespace
}  // namespace guerdon::test
