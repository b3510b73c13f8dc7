#include "guerdon/data/formats.h"

#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>

#include "guerdon/base/file.h"
#include "guerdon/base/log.h"
#include "support/data.h"
#include "support/errors.h"
#include "support/temporary.h"

namespace guerdon::data {
namespace {
namespace fs = std::filesystem;
using test::refusal;

Row row_of(const std::string& text, int64_t line = 1) {
  return {Fields(parse_json(text, "f", 1), str("f:", line)), line, 0, 0};
}

Example read(const std::string& text, const FormatOptions& options = {}) {
  return RowFormat(options).read(row_of(text)).value();
}

std::string plain(const Text& text) { return std::get<std::string>(text); }
std::string talk(const Text& text) {
  return conversation_json(std::get<Conversation>(text)).dump();
}

struct File {
  DatasetType type;
  bool conversational;
  std::vector<Example> examples;
  FormatCounts counts;
};

File read_file_of(const fs::path& path, const FormatOptions& options = {},
                  OnBadRow on_bad_row = OnBadRow::error) {
  RowReader reader(path, {.on_bad_row = on_bad_row});
  RowFormat format(options);
  File out;
  while (const auto row = reader.next()) {
    try {
      if (auto example = format.read(*row)) out.examples.push_back(std::move(*example));
    } catch (const Error& error) {
      reader.reject(error);
    }
  }
  out.type = format.type();
  out.conversational = format.conversational();
  out.counts = format.counts();
  return out;
}

// ---- TRL's types

TEST(RowFormat, LanguageModelling) {
  const Example text = read(R"({"text":"The sky is blue."})");
  EXPECT_EQ(plain(text.prompt), "");
  EXPECT_EQ(plain(text.responses.at(0).text), "The sky is blue.");
  const Example messages = read(
      R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}],"x":1})");
  EXPECT_TRUE(is_conversational(messages.prompt));
  EXPECT_TRUE(is_empty(messages.prompt));
  EXPECT_EQ(talk(messages.responses.at(0).text),
            R"([{"role":"user","content":"a"},{"role":"assistant","content":"b"}])");
  EXPECT_EQ(messages.fields.number("x"), 1);
}

TEST(RowFormat, PromptOnlyAndPromptCompletion) {
  const Example prompt = read(R"({"prompt":"a","gold":"7"})");
  EXPECT_EQ(plain(prompt.prompt), "a");
  EXPECT_TRUE(prompt.responses.empty());
  EXPECT_EQ(prompt.fields.text("gold"), "7");
  const Example completion = read(R"({"prompt":"a","completion":"b"})");
  EXPECT_EQ(plain(completion.responses.at(0).text), "b");
  const Example talked = read(
      R"({"prompt":[{"role":"user","content":"a"}],"completion":[{"role":"assistant","content":"b"}]})");
  EXPECT_EQ(talk(talked.prompt), R"([{"role":"user","content":"a"}])");
  EXPECT_EQ(talk(talked.responses.at(0).text), R"([{"role":"assistant","content":"b"}])");
}

TEST(RowFormat, PreferenceWithExplicitAndImplicitPrompt) {
  const Example explicit_prompt =
      read(R"({"prompt":"The sky is","chosen":" blue.","rejected":" green.","margin":0.5})");
  EXPECT_EQ(plain(explicit_prompt.prompt), "The sky is");
  EXPECT_EQ(explicit_prompt.fields.number("margin"), 0.5);
  const Example implicit = read(R"({"chosen":"The sky is blue.","rejected":"The sky is green."})");
  EXPECT_EQ(plain(implicit.prompt), "The sky is");
  EXPECT_EQ(plain(implicit.responses.at(0).text), " blue.");
  EXPECT_EQ(plain(implicit.responses.at(1).text), " green.");
}

TEST(RowFormat, UnpairedStepwiseAndScored) {
  const Example unpaired = read(R"({"prompt":"a","completion":"b","label":false})");
  EXPECT_FALSE(unpaired.responses.at(0).fields.boolean("label"));
  const Example steps =
      read(R"({"prompt":"q","completions":["one ","two"],"labels":[true,false]})");
  EXPECT_EQ(plain(steps.responses.at(0).text), "one two");
  EXPECT_EQ(steps.responses.at(0).fields.texts("steps"), (std::vector<std::string>{"one ", "two"}));
  EXPECT_EQ(steps.responses.at(0).fields.json()["labels"].dump(), "[true,false]");
  const Example scored = read(R"({"text":"a","label":[-100.0,4.0]})");
  EXPECT_EQ(scored.responses.at(0).fields.numbers("label"), (std::vector<double>{-100, 4}));
}

TEST(RowFormat, RankedLists) {
  RowFormat format;
  const Example list =
      format.read(row_of(R"({"prompt":"a","responses":["b","c"],"ranks":[2,1],"k":1})")).value();
  EXPECT_EQ(format.type(), DatasetType::ranked);
  ASSERT_EQ(list.responses.size(), 2U);
  EXPECT_EQ(plain(list.responses[0].text), "b");
  EXPECT_EQ(list.responses[0].fields.number("value"), -2.0);
  EXPECT_EQ(list.responses[1].fields.number("value"), -1.0);
  const Example talks = read(
      R"({"prompt":[{"role":"user","content":"a"}],"responses":["b","c","d"],"scores":[2,1,3]})");
  EXPECT_EQ(talk(talks.responses[2].text), R"([{"role":"assistant","content":"d"}])");
  EXPECT_EQ(talks.responses[2].fields.number("value"), 3.0);
}

TEST(RowFormat, ListsOfWhichNothingIsSaid) {
  RowFormat format;
  const Example list = format.read(row_of(R"({"prompt":"a","responses":["b","c"],"k":1})")).value();
  EXPECT_EQ(format.type(), DatasetType::candidates);
  ASSERT_EQ(list.responses.size(), 2U);
  EXPECT_FALSE(list.responses[0].fields.has("value"));
  EXPECT_EQ(row_json(list, DatasetType::candidates)["responses"], Json({"b", "c"}));
  RowFormat pairs;
  EXPECT_TRUE(pairs.read(row_of(R"({"prompt":"a","chosen":"b","rejected":"c","responses":[]})")));
  EXPECT_EQ(pairs.type(), DatasetType::preference) << "more columns of a form go before fewer";
}

TEST(RowFormat, TokenisedRows) {
  const Example pair = read(R"({"prompt_ids":[1,2],"chosen_ids":[3],"rejected_ids":[4,5]})");
  EXPECT_EQ(pair.responses.at(1).fields.numbers("ids"), (std::vector<double>{1, 2, 4, 5}));
  EXPECT_EQ(pair.responses.at(0).fields.number("prompt_length"), 2);
  const Example ids = read(R"({"input_ids":[1,2],"labels":[-100,2]})");
  EXPECT_EQ(ids.responses.at(0).fields.numbers("labels"), (std::vector<double>{-100, 2}));
  EXPECT_EQ(
      read(R"({"tokens":[1,2],"prompt_length":1})").responses.at(0).fields.number("prompt_length"),
      1);
  for (const char* bad :
       {R"({"input_ids":[-1]})", R"({"input_ids":[1.5]})", R"({"input_ids":"a"})",
        R"({"input_ids":[16777216]})", R"({"input_ids":[18446744073709551615]})",
        R"({"input_ids":[1],"labels":[1,2]})", R"({"tokens":[1],"prompt_length":2})",
        R"({"tokens":[1],"prompt_length":-1})"}) {
    refusal(Kind::input, [&] { read(bad); });
  }
}

// ---- other libraries' forms (rows of the same shape as theirs)

TEST(RowFormat, ShareGpt) {
  const Example chat = read(
      R"({"conversations":[{"from":"system","value":"s"},{"from":"human","value":"a"},{"from":"gpt","value":"b"}]})");
  EXPECT_EQ(
      talk(chat.responses.at(0).text),
      R"([{"role":"system","content":"s"},{"role":"user","content":"a"},{"role":"assistant","content":"b"}])");
  const Example pair = read(
      R"({"conversations":[{"from":"human","value":"a"}],"chosen":{"from":"gpt","value":"b"},"rejected":{"from":"gpt","value":"c"}})");
  EXPECT_EQ(talk(pair.prompt), R"([{"role":"user","content":"a"}])");
  EXPECT_EQ(talk(pair.responses.at(1).text), R"([{"role":"assistant","content":"c"}])");
}

TEST(RowFormat, ShareGptToolCalls) {
  const Example chat = read(R"({"conversations":[{"from":"human","value":"a"},
      {"from":"function_call","value":"{\"name\": \"f\", \"arguments\": {\"x\": 1}}"},
      {"from":"observation","value":"2"},{"from":"gpt","value":"b"}],"tools":"[{\"name\":\"f\"}]"})");
  EXPECT_EQ(
      talk(chat.responses.at(0).text),
      R"([{"role":"user","content":"a"},{"role":"assistant","content":"","tool_calls":[{"type":"function",)"
      R"("function":{"name":"f","arguments":{"x":1}}}]},{"role":"tool","content":"2"},{"role":"assistant","content":"b"}])");
  EXPECT_EQ(chat.fields.json()["tools"].dump(), R"([{"name":"f"}])");
}

TEST(RowFormat, LlamaFactoryUnpaired) {
  const Example row = read(
      R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}],"label":true})");
  EXPECT_EQ(talk(row.prompt), R"([{"role":"user","content":"a"}])");
  EXPECT_EQ(talk(row.responses.at(0).text), R"([{"role":"assistant","content":"b"}])");
  EXPECT_TRUE(row.responses.at(0).fields.boolean("label"));
}

TEST(RowFormat, AlpacaAndItsPairs) {
  const Example row =
      read(R"({"instruction":"i","input":"x","output":"o","system":"s","history":[["q","r"]]})");
  EXPECT_EQ(talk(row.prompt),
            R"([{"role":"system","content":"s"},{"role":"user","content":"q"},)"
            R"({"role":"assistant","content":"r"},{"role":"user","content":"i\nx"}])");
  EXPECT_EQ(talk(row.responses.at(0).text), R"([{"role":"assistant","content":"o"}])");
  EXPECT_EQ(talk(read(R"({"instruction":"i","response":"o"})").prompt),
            R"([{"role":"user","content":"i"}])");
  const Example pair = read(R"({"instruction":"i","input":"","chosen":"c","rejected":"r"})");
  EXPECT_EQ(talk(pair.responses.at(1).text), R"([{"role":"assistant","content":"r"}])");
}

TEST(RowFormat, NemoAligner) {
  const Example pair = read(R"({"prompt":"p","chosen_response":"c","rejected_response":"r"})");
  EXPECT_EQ(plain(pair.prompt), "p");
  EXPECT_EQ(plain(pair.responses.at(1).text), "r");
  const Example chat = read(
      R"({"system":"s","mask":"User","conversations":[{"from":"User","value":"a"},{"from":"Assistant","value":"b"}]})");
  EXPECT_EQ(
      talk(chat.responses.at(0).text),
      R"([{"role":"system","content":"s"},{"role":"user","content":"a"},{"role":"assistant","content":"b"}])");
  EXPECT_EQ(chat.fields.text("mask"), "User");
}

TEST(RowFormat, SwiftPairs) {
  const Example pair = read(
      R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}],"rejected_response":"c"})");
  EXPECT_EQ(talk(pair.responses.at(0).text), R"([{"role":"assistant","content":"b"}])");
  EXPECT_EQ(talk(pair.responses.at(1).text), R"([{"role":"assistant","content":"c"}])");
  EXPECT_EQ(talk(read(R"({"query":"a","response":"b","rejected_response":"c"})").prompt),
            R"([{"role":"user","content":"a"}])");
}

TEST(RowFormat, APlainPromptBesideWholeConversationsGivesWay) {
  const Example pair = read(
      R"({"prompt":"a","chosen":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}],
                               "rejected":[{"role":"user","content":"a"},{"role":"assistant","content":"c"}],
                               "messages":[{"role":"user","content":"z"}]})");
  EXPECT_EQ(talk(pair.prompt), R"([{"role":"user","content":"a"}])");
  EXPECT_EQ(talk(pair.responses.at(1).text), R"([{"role":"assistant","content":"c"}])");
}

TEST(RowFormat, PromptsForVerifiers) {
  const Example row =
      read(R"({"messages":[{"role":"user","content":"a"}],"ground_truth":"8","dataset":"MATH"})");
  EXPECT_EQ(talk(row.prompt), R"([{"role":"user","content":"a"}])");
  EXPECT_EQ(row.fields.text("ground_truth"), "8");
}

TEST(RowFormat, LabelledPairsAreOrderedAndTiesLeftOut) {
  RowFormat annotated;
  const auto pandalm = [&](const std::string& votes) {
    return annotated.read(row_of(
        R"({"instruction":"i","input":"","response1":"one","response2":"two","annotators":)" +
        votes + "}"));
  };
  EXPECT_EQ(talk(pandalm("[2,2,1]")->responses.at(0).text),
            R"([{"role":"assistant","content":"two"}])");
  EXPECT_EQ(talk(pandalm("[1,1,0]")->responses.at(0).text),
            R"([{"role":"assistant","content":"one"}])");
  EXPECT_FALSE(pandalm("[0,1,2]"));
  EXPECT_FALSE(pandalm("[0,0,1]"));
  EXPECT_EQ(annotated.counts().ties, 2);
  EXPECT_EQ(plain(read(R"({"question":"q","response_a":"x","response_b":"y","preferred":"b"})")
                      .responses.at(0)
                      .text),
            "y");
}

TEST(RowFormat, RenamesColumns) {
  const FormatOptions options{
      .columns = {"chosen=sycophantic", "rejected=other", "margin=confidence"}};
  const Example row =
      read(R"({"prompt":"a","sycophantic":"b","other":"c","confidence":0.7})", options);
  EXPECT_EQ(plain(row.responses.at(0).text), "b");
  EXPECT_EQ(row.fields.number("margin"), 0.7);
  EXPECT_EQ(
      refusal(Kind::input, [&] { read(R"({"prompt":"a"})", options); }),
      "f:1: field \"sycophantic\", which data.columns calls \"chosen\", is missing (have: prompt)");
}

// ---- transcripts

TEST(RowFormat, Transcripts) {
  const std::string text = R"({"chosen":"\n\nHuman: a\n\nAssistant: b \n\nHuman: c\n\nAssistant: d",
                               "rejected":"\n\nHuman: a\n\nAssistant: b \n\nHuman: c\n\nAssistant:"})";
  const Example row = read(text);
  EXPECT_EQ(
      talk(row.prompt),
      R"([{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}])");
  EXPECT_EQ(talk(row.responses.at(1).text), R"([{"role":"assistant","content":""}])");
  const Example raw = read(text, {.transcripts = false});
  EXPECT_EQ(plain(raw.prompt), "\n\nHuman: a\n\nAssistant: b \n\nHuman: c\n\nAssistant");
  const Example split =
      read(R"({"prompt":"\n\nHuman: a\n\nAssistant:","chosen":" b","rejected":" c"})");
  EXPECT_EQ(talk(split.prompt), R"([{"role":"user","content":"a"}])");
  EXPECT_EQ(talk(split.responses.at(0).text), R"([{"role":"assistant","content":"b"}])");
}

// ---- conversions

TEST(ExtractPrompt, GivesTheSpaceToTheCompletionsAndKeepsCharactersWhole) {
  const auto split = [](const std::string& chosen, const std::string& rejected) {
    Text a = chosen, b = rejected, prompt;
    extract_prompt(a, b, prompt);
    return std::vector<std::string>{plain(prompt), plain(a), plain(b)};
  };
  using Texts = std::vector<std::string>;
  EXPECT_EQ(split("It is a", "It is b"), (Texts{"It is", " a", " b"}));
  EXPECT_EQ(split("x", "y"), (Texts{"", "x", "y"}));
  EXPECT_EQ(split("same", "same"), (Texts{"sam", "e", "e"}));
  EXPECT_EQ(split("ab", "abc"), (Texts{"a", "b", "bc"}));
  EXPECT_EQ(split("\xc3\xa9", "\xc3\xa8"), (Texts{"", "\xc3\xa9", "\xc3\xa8"}));
  EXPECT_EQ(split("", "a"), (Texts{"", "", "a"}));
}

TEST(ExtractPrompt, EndsWithAUserMessage) {
  const Example row = read(
      R"({"chosen":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"c"}],
                               "rejected":[{"role":"user","content":"a"},{"role":"assistant","content":"b"},{"role":"user","content":"d"}]})");
  EXPECT_EQ(talk(row.prompt), R"([{"role":"user","content":"a"}])");
  EXPECT_EQ(std::get<Conversation>(row.responses.at(0).text).size(), 2U);
}

TEST(Unpair, MakesTwoLabelledRows) {
  const auto rows = unpair(read(R"({"id":"x","prompt":"a","chosen":"b","rejected":"c","k":1})"));
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[0].id, "x/chosen");
  EXPECT_TRUE(rows[0].responses.at(0).fields.boolean("label"));
  EXPECT_EQ(plain(rows[1].responses.at(0).text), "c");
  EXPECT_FALSE(rows[1].responses.at(0).fields.boolean("label"));
  EXPECT_EQ(rows[1].fields.number("k"), 1);
}

TEST(AsPrompt, CutsTheLastAnswerOfAConversation) {
  const Example row = as_prompt(
      read(R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]})"));
  EXPECT_EQ(talk(row.prompt), R"([{"role":"user","content":"a"}])");
  EXPECT_TRUE(row.responses.empty());
  EXPECT_EQ(plain(as_prompt(read(R"({"prompt":"p","chosen":"a","rejected":"b"})")).prompt), "p");
}

TEST(RowJson, ReadsBackAsTheSameExample) {
  for (const char* text :
       {R"({"text":"a","k":1})",
        R"({"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]})",
        R"({"prompt":"a","k":"v"})", R"({"prompt":"a","completion":"b"})",
        R"({"prompt":"a","chosen":"b","rejected":"c","margin":0.5})",
        R"({"prompt":"a","completion":"b","label":true})",
        R"({"prompt":"a","completions":["b","c"],"labels":[true,false]})",
        R"({"text":"a","label":[1.5]})",
        R"({"prompt":"a","responses":["b","c","d"],"scores":[1.5,0.5,2.5],"k":1})",
        R"({"chosen_ids":[1],"rejected_ids":[2]})", R"({"input_ids":[1,2],"labels":[-100,2]})"}) {
    RowFormat format;
    const Example example = format.read(row_of(text)).value();
    EXPECT_EQ(row_json(example, format.type()), Json::parse(text)) << text;
  }
  RowFormat format;
  const Example pair =
      format.read(row_of(R"({"instruction":"i","chosen":"c","rejected":"r"})")).value();
  EXPECT_EQ(
      row_json(pair, format.type()).dump(),
      R"({"prompt":[{"role":"user","content":"i"}],"chosen":[{"role":"assistant","content":"c"}],)"
      R"("rejected":[{"role":"assistant","content":"r"}]})");
}

TEST(Example, IdIsGivenOrAHashOfTheRow) {
  EXPECT_EQ(read(R"({"id":7,"text":"a"})").id, "7");
  EXPECT_EQ(read(R"({"text":"a"})").id.size(), 16U);
  EXPECT_EQ(read(R"({"text":"a"})").id, read(R"({"text":"a"})").id);
  EXPECT_NE(read(R"({"text":"a"})").id, read(R"({"text":"b"})").id);
}

// ---- refusals

TEST(RowFormat, SaysWhatIsWrongWithARow) {
  const std::map<std::string, std::string> expected = {
      {R"({"prompt":"a","chosen":"b"})",
       "f:1: field \"rejected\" is missing (have: prompt, chosen)"},
      {R"({"prompt":3,"chosen":"b","rejected":"c"})",
       "f:1: field \"prompt\" must be a string or a list of messages, got a number"},
      {R"({"a":1,"b":2})", "f:1: no known form of data: have a, b"},
      {R"({"messages":[]})", "f:1: field \"messages\" is an empty list of messages"},
      {R"({"messages":[{"role":"robot","content":"a"}]})",
       "f:1: field \"messages\", message 1: role \"robot\" is not known (expected system, user, "
       "assistant or tool)"},
      {R"({"messages":[{"role":"user","content":[{"type":"image"}]}]})",
       "f:1: field \"messages\", message 1 has a part that is not text (guerdon reads text only)"},
      {R"({"messages":[{"role":"user","content":[{"type":3}]}]})",
       "f:1: field \"messages\", message 1 has a part that is not text (guerdon reads text only)"},
      {R"({"prompt":"a","chosen":"b","rejected":"c","margin":"x"})",
       "f:1: field \"margin\" must be a number, got \"x\""},
      {R"({"prompt":"a","responses":["b"],"scores":[1]})",
       "f:1: field \"responses\" must be a list of at least 2"},
      {R"({"prompt":"a","responses":["b","c"],"scores":[1]})",
       "f:1: field \"scores\" has 1 numbers for 2 responses"},
      {R"({"text":"a","tools":3})", "f:1: field \"tools\" must be a list of tool schemas"},
  };
  for (const auto& [text, said] : expected) {
    EXPECT_EQ(refusal(Kind::input, [&row = text] { read(row); }), said) << text;
  }
}

TEST(RowFormat, KeepsToOneKindAndOneForm) {
  RowFormat format;
  format.read(row_of(R"({"prompt":"a","completion":"b"})"));
  EXPECT_EQ(refusal(Kind::input,
                    [&] {
                      format.read(row_of(
                          R"({"prompt":[{"role":"user","content":"a"}],"completion":"b"})", 2));
                    }),
            "f:2: this row is a conversation, the rows before are plain text (one kind a file)");
  EXPECT_EQ(refusal(Kind::input, [&] { format.read(row_of(R"({"text":"a"})", 3)); }),
            "f:3: this row has the columns of another form (text), the rows before have prompt, "
            "completion");
}

TEST(RowFormat, CountsWhatDeservesAWord) {
  RowFormat format;
  format.read(row_of(R"({"prompt":"a","chosen":"b","rejected":"b"})"));
  format.read(row_of(R"({"prompt":"a","chosen":"","rejected":"b"})"));
  EXPECT_EQ(format.counts().identical_pairs, 1);
  EXPECT_EQ(format.counts().empty_completions, 1);
  std::vector<std::string> warnings;
  const log::Sink before =
      log::set_sink([&](log::Level, const std::string& text) { warnings.push_back(text); });
  format.warn("f");
  log::set_sink(before);
  EXPECT_EQ(warnings, (std::vector<std::string>{
                          "f: 1 of 2 rows have a chosen that equals the rejected (no signal)",
                          "f: 1 of 2 rows have an empty completion"}));
}

// ---- real files

TEST(RealData, EveryBadFileGetsItsOutcome) {
  GUERDON_NEEDS_DATA("bad-inputs");
  const fs::path folder = test::data_folder() / "bad-inputs";
  std::istringstream cases(read_file(folder / "cases.jsonl"));
  int seen = 0;
  for (std::string line; std::getline(cases, line);) {
    const Json row = parse_json(line, "cases");
    const std::string name = row["file"], expect = row["expect"];
    if (!name.starts_with("jsonl/") && !name.starts_with("gzip/")) continue;
    ++seen;
    const fs::path path = folder / name;
    std::string said;
    File file;
    try {
      file = read_file_of(path);
    } catch (const Error& error) {
      said = error.what();
      EXPECT_EQ(error.kind, Kind::input) << said;
      EXPECT_TRUE(said.starts_with(path.string())) << said;
    }
    if (expect.starts_with("accept")) {
      EXPECT_EQ(static_cast<int>(file.examples.size()), std::stoi(expect.substr(7)))
          << name << ": " << said;
      EXPECT_EQ(file.counts.identical_pairs, expect.ends_with("warning") ? 1 : 0) << name;
    } else if (expect.starts_with("line ")) {
      EXPECT_TRUE(said.starts_with(path.string() + ":" + expect.substr(5) + ": "))
          << name << ": " << said;
    } else {
      EXPECT_TRUE(expect == "error" || expect == "error: no rows") << expect;
      EXPECT_FALSE(said.empty()) << name;
    }
  }
  EXPECT_EQ(seen, 29);
}

TEST(RealData, OtherLibrariesFilesAreRead) {
  GUERDON_NEEDS_DATA("formats");
  const fs::path folder = test::data_folder() / "formats";
  struct Expected {
    const char* file;
    DatasetType type;
    bool conversational;
    size_t rows;
  };
  using enum DatasetType;
  for (const Expected& e :
       {Expected{"llamafactory_dpo_en_demo.json", preference, true, 60},
        Expected{"llamafactory_kto_en_demo.json", unpaired_preference, true, 60},
        Expected{"llamafactory_glaive_toolcall_en_demo.json", language_modeling, true, 30},
        Expected{"nemo_aligner_dummy-dpo.jsonl", preference, false, 40},
        Expected{"nemo_aligner_test-rm.jsonl", scored, false, 8},
        Expected{"nemo_aligner_dummy-sft.jsonl", language_modeling, true, 30},
        Expected{"torchtune_hh_rlhf_tiny.json", preference, true, 1},
        Expected{"torchtune_chat_tiny.json", language_modeling, true, 1},
        Expected{"torchtune_instruct_tiny.json", prompt_completion, true, 2},
        Expected{"swift_chatml.jsonl", language_modeling, true, 3},
        Expected{"swift_conversations.jsonl", language_modeling, true, 3},
        Expected{"open_instruct_preference_sample.jsonl", preference, true, 30},
        Expected{"open_instruct_rlvr_sample.jsonl", prompt_only, true, 30},
        Expected{"open_instruct_sft_sample.jsonl", language_modeling, true, 30}}) {
    const File file = read_file_of(folder / e.file);
    EXPECT_EQ(name_of(file.type), name_of(e.type)) << e.file;
    EXPECT_EQ(file.conversational, e.conversational) << e.file;
    EXPECT_EQ(file.examples.size(), e.rows) << e.file;
  }
}

TEST(RealData, TheOtherSetsAreRead) {
  GUERDON_NEEDS_DATA("pandalm");
  const fs::path folder = test::data_folder();
  EXPECT_EQ(read_file_of(folder / "llmbar/pairs.jsonl").examples.size(), 437U);
  EXPECT_EQ(read_file_of(folder / "hhh-alignment/pairs.jsonl").examples.size(), 136U);
  EXPECT_EQ(
      read_file_of(folder / "persona-margins/pairs.jsonl.gz", {.columns = {"margin=confidence"}})
          .examples.size(),
      8000U);
  EXPECT_EQ(read_file_of(folder / "gsm8k/test.jsonl").examples.size(), 659U);
  EXPECT_EQ(
      read_file_of(folder / "gsm8k/model_solutions.jsonl.gz",
                   {.columns = {"prompt=question", "completion=solution", "label=is_correct"}})
          .examples.size(),
      2636U);
  EXPECT_EQ(read_file_of(folder / "math-word/svamp.jsonl").examples.size(), 650U);
  // Six of its responses are JSON booleans, just below the share that may be skipped.
  const File pandalm = read_file_of(folder / "pandalm/human_pairs.jsonl", {}, OnBadRow::skip);
  EXPECT_EQ(pandalm.examples.size() + static_cast<size_t>(pandalm.counts.ties), 597U);
  const File fine = read_file_of(folder / "fine-grained-qa/pairs.jsonl");
  EXPECT_EQ(fine.examples.size() + static_cast<size_t>(fine.counts.ties), 1800U);
  EXPECT_EQ(read_file_of(folder / "reward-hacking/sycophancy.jsonl.gz",
                         {.columns = {"chosen=sycophantic", "rejected=other"}})
                .examples.size(),
            800U);
}

TEST(RealData, RawTranscriptsGiveTheConversationsOfTheExplicitForm) {
  GUERDON_NEEDS_DATA("hh-rlhf");
  const fs::path folder = test::data_folder() / "hh-rlhf";
  for (const char* part : {"train", "test"}) {
    const File raw = read_file_of(folder / str("raw_", part, ".jsonl.gz"));
    const File given = read_file_of(folder / str(part, ".jsonl.gz"));
    ASSERT_EQ(raw.examples.size(), given.examples.size());
    for (size_t i = 0; i < raw.examples.size(); ++i) {
      EXPECT_EQ(talk(raw.examples[i].prompt), talk(given.examples[i].prompt))
          << part << " row " << i;
      for (const size_t side : {size_t{0}, size_t{1}}) {
        EXPECT_EQ(talk(raw.examples[i].responses.at(side).text),
                  talk(given.examples[i].responses.at(side).text));
      }
    }
  }
}

}  // namespace
}  // namespace guerdon::data
