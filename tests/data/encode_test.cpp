#include "guerdon/data/encode.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "guerdon/base/file.h"
#include "guerdon/data/formats.h"
#include "guerdon/data/truncation.h"
#include "support/data.h"
#include "support/errors.h"
#include "support/temporary.h"

namespace guerdon::data {
namespace {
using test::refusal;
using test::TemporaryFolder;
using Ids = std::vector<int64_t>;

/// A tokenizer of the fixture with its template.
struct Model {
  text::Tokenizer tokenizer;
  text::ChatTemplate chat_template;
};

const Json& fixture() {
  static const Json json = read_json(test::fixture("encode.json"));
  return json;
}

const Model& model(const std::string& name) {
  static std::map<std::string, Model> models;
  const auto found = models.find(name);
  if (found != models.end()) return found->second;
  const TemporaryFolder folder;
  const Json& files = fixture()["tokenizers"][name];
  folder.file("tokenizer.json", files["tokenizer"].dump());
  folder.file("tokenizer_config.json", files["tokenizer_config"].dump());
  return models
      .emplace(name,
               Model{text::Tokenizer::load(folder.path()), text::ChatTemplate::load(folder.path())})
      .first->second;
}

Encoder encoder(const std::string& name, EncodeOptions options = {}) {
  return {model(name).tokenizer, &model(name).chat_template, std::move(options)};
}

Example example(const Json& row) {
  return RowFormat().read({Fields(row, "row:1"), 1, 0, 0}).value();
}

Json labels(const EncodedSequence& sequence) {
  Json out = Json::array();
  for (size_t i = 0; i < sequence.tokens.size(); ++i)
    out.push_back(sequence.trained[i] ? sequence.tokens[i] : -100);
  return out;
}

/// What TRL's preparation gives for a row, from our encoder; nothing when the row is dropped.
std::optional<Json> prepared(const std::string& kind, const Encoder& encoder, const Example& row,
                             const Json& options) {
  const int64_t max_length =
      options.contains("max_length") ? options["max_length"].get<int64_t>() : 1 << 20;
  const TruncationMode mode =
      kind == "reward" ? TruncationMode::filter
      : options.contains("truncation_mode")
          ? truncation_mode(options["truncation_mode"].get<std::string>(), "fixture")
          : TruncationMode::keep_start;
  if (kind == "sft") {
    EncodedSequence out = encoder.supervised(row);
    if (!is_kept(truncate(out, max_length, mode))) return std::nullopt;
    return Json{{"input_ids", out.tokens}, {"labels", labels(out)}};
  }
  if (kind == "dpo") {
    EncodedPair out = encoder.preference(row);
    if (!is_kept(truncate(out, max_length, mode))) return std::nullopt;
    return Json{{"chosen", out.chosen.tokens},
                {"chosen_trained", out.chosen.trained},
                {"rejected", out.rejected.tokens},
                {"rejected_trained", out.rejected.trained}};
  }
  if (kind == "reward") {
    EncodedPair out = encoder.reward_pair(row);
    if (!is_kept(truncate(out, max_length, mode))) return std::nullopt;
    return Json{{"chosen", out.chosen.tokens}, {"rejected", out.rejected.tokens}};
  }
  if (kind == "kto") {
    const EncodedSequence out = encoder.completion(row, 0);
    const auto middle = out.tokens.begin() + out.prompt_length;
    return Json{{"prompt", Ids(out.tokens.begin(), middle)},
                {"completion", Ids(middle, out.tokens.end())}};
  }
  return Json{{"prompt", encoder.prompt(row.prompt, row.fields)}};
}

TEST(Encoder, PreparesRowsAsTrlDoes) {
  int seen = 0;
  for (const Json& test_case : fixture()["cases"]) {
    const Json& options = test_case["options"];
    EncodeOptions encode;
    if (options.contains("completion_only_loss"))
      encode.completion_only_loss = options["completion_only_loss"].get<bool>();
    encode.assistant_only_loss = options.contains("assistant_only_loss");
    const std::string name = test_case["tokenizer"], kind = test_case["kind"];
    const Encoder with = encoder(name, encode);
    Json got = Json::array();
    for (const Json& row : test_case["rows"]) {
      if (auto json = prepared(kind, with, example(row), options)) got.push_back(std::move(*json));
    }
    EXPECT_EQ(got, test_case["expected"])
        << name << " " << kind << " " << options << " " << test_case["rows"];
    ++seen;
  }
  EXPECT_GE(seen, 74);
}

const Json kTalk = Json::parse(R"({"messages":[{"role":"user","content":"What color is the sky?"},
    {"role":"assistant","content":"The sky is blue."},{"role":"user","content":"Where is the sun?"},
    {"role":"assistant","content":"In the sky."}]})");

std::string trained_text(const std::string& name, const EncodedSequence& sequence) {
  Ids ids;
  for (size_t i = 0; i < sequence.tokens.size(); ++i) {
    if (sequence.trained[i]) ids.push_back(sequence.tokens[i]);
  }
  return model(name).tokenizer.decode(ids);
}

TEST(Encoder, FindsAssistantTurnsWithAndWithoutMarksInTheTemplate) {
  for (const auto& [name, expected] :
       {std::pair("chatml", "The sky is blue.<|im_end|>In the sky.<|im_end|>"),  // marked
        std::pair("bos",
                  " The sky is blue.</s> In the sky.</s>")}) {  // found by rendering the beginnings
    const EncodedSequence out =
        encoder(name, {.assistant_only_loss = true}).supervised(example(kTalk));
    EXPECT_EQ(trained_text(name, out), expected);
  }
}

TEST(Encoder, ChunksOfAConversationHaveRoles) {
  const EncodedSequence out = encoder("chatml", {.roles = true}).supervised(example(kTalk));
  ASSERT_EQ(out.roles.size(), out.tokens.size());
  std::map<TokenRole, std::string> text;
  for (size_t i = 0; i < out.tokens.size(); ++i)
    text[out.roles[i]] += model("chatml").tokenizer.decode(Ids{out.tokens[i]});
  EXPECT_EQ(text.size(), 2U);
  EXPECT_EQ(text[TokenRole::user],
            "<|im_start|>user\nWhat color is the sky?<|im_end|>\n<|im_start|>user\nWhere is the "
            "sun?<|im_end|>\n");
  const EncodedSequence plain =
      encoder("bos", {.roles = true})
          .completion(example(Json{{"prompt", "The sky"}, {"completion", " is blue."}}), 0);
  EXPECT_EQ(plain.roles.front(), TokenRole::prompt);
  EXPECT_EQ(plain.roles.back(), TokenRole::completion);
}

TEST(Encoder, TakesRowsThatAreTokenised) {
  const Encoder with = encoder("bos");
  const EncodedSequence labelled =
      with.supervised(example(Json::parse(R"({"input_ids":[5,6,7],"labels":[-100,6,-100]})")));
  EXPECT_EQ(labelled.trained, (std::vector<uint8_t>{0, 1, 0}));
  const EncodedPair pair = with.preference(
      example(Json::parse(R"({"prompt_ids":[5],"chosen_ids":[6],"rejected_ids":[7,8]})")));
  EXPECT_EQ(pair.rejected.tokens, (Ids{5, 7, 8}));
  EXPECT_EQ(pair.rejected.prompt_length, 1);
}

TEST(Encoder, WithoutAppendedEosATextStaysWhatItIs) {
  const Json row{{"prompt", "The sky"}, {"completion", " is blue."}};
  const EncodedSequence out = encoder("chatml", {.append_eos = false}).completion(example(row), 0);
  EXPECT_EQ(model("chatml").tokenizer.decode(out.tokens), "The sky is blue.");
}

TEST(Encoder, TemplateVariablesOfTheRunGiveWayToThoseOfTheRow) {
  const Fields off(Json{{"enable_thinking", false}}, "settings");
  const Encoder with = encoder("chatml", {.chat_template_kwargs = off});
  const Conversation talk{{"user", "Hi", {}}};
  EXPECT_TRUE(with.render(talk, {}, true).text.ends_with("<think></think>"));
  const Fields row(Json{{"chat_template_kwargs", {{"enable_thinking", true}}}}, "row:1");
  EXPECT_FALSE(with.render(talk, row, true).text.ends_with("<think></think>"));
}

TEST(Encoder, RefusalsNameTheRow) {
  const Encoder without(model("bos").tokenizer, nullptr);
  EXPECT_EQ(refusal(Kind::input, [&] { without.supervised(example(kTalk)); }),
            "row:1: is a conversation, and the model has no chat template");
  const Encoder assistant = encoder("chatml", {.assistant_only_loss = true});
  const Json silent = Json::parse(R"({"messages":[{"role":"user","content":"a"}]})");
  EXPECT_EQ(refusal(Kind::input, [&] { assistant.supervised(example(silent)); }),
            "row:1: assistant_only_loss: the conversation has no assistant tokens");
  const text::ChatTemplate strict =
      text::ChatTemplate::parse("{{ raise_exception('no system turn') }}", "t");
  EXPECT_NE(refusal(Kind::input,
                    [&] { Encoder(model("bos").tokenizer, &strict).supervised(example(kTalk)); })
                .find("row:1: the chat template refuses it: "),
            std::string::npos);
}

TEST(CommonPrefix, CountsEqualBeginnings) {
  EXPECT_EQ(common_prefix({1, 2, 3}, {1, 2, 4, 5}), 2);
  EXPECT_EQ(common_prefix({}, {1}), 0);
  EXPECT_EQ(common_prefix({1, 2}, {1, 2, 3}), 2);
}

TEST(FillQuestion, PutsTheRowIntoTheBraces) {
  Example row{.prompt = std::string("2 + 2 = "),
              .responses = {{.text = std::string("4"), .fields = {}}},
              .fields = Fields(Json{{"principle", "short"}, {"level", 3}}, "rows.jsonl:7")};
  EXPECT_EQ(fill_question("{prompt}{response}, {principle} {level} {} {a b} {", row, 0),
            "2 + 2 = 4, short 3 {} {a b} {");
  EXPECT_EQ(refusal(Kind::input, [&] { fill_question("{tone}", row, 0); }),
            "rows.jsonl:7: field \"tone\" is missing (have: principle, level)");
  row.prompt = Conversation{{.role = "user", .content = "a", .extra = {}},
                            {.role = "assistant", .content = "b", .extra = {}}};
  row.responses[0].text = Conversation{{.role = "assistant", .content = "c", .extra = {}}};
  EXPECT_EQ(fill_question("{prompt} | {response}", row, 0), "user: a\nassistant: b | c");
}

}  // namespace
}  // namespace guerdon::data
