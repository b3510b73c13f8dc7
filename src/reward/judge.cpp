#include "guerdon/reward/judge.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "guerdon/base/error.h"
#include "guerdon/base/file.h"
#include "guerdon/base/random.h"
#include "guerdon/data/encode.h"
#include "guerdon/data/judge_question.h"
#include "guerdon/generate/engine.h"
#include "guerdon/loss/reduction.h"
#include "guerdon/model/logprobs.h"
#include "guerdon/model/pretrained.h"
#include "guerdon/rules/judgement.h"
#include "guerdon/text/chat_template.h"
#include "guerdon/text/tokenizer.h"

namespace guerdon {
namespace {

constexpr int64_t kTokens = 16384;  // of a forward pass that compares answers

/// The mean of what was said about a response.
struct Heard {
  double sum = 0;
  int64_t count = 0;
  void add(double value) {
    sum += value;
    ++count;
  }
};

/// A number that names a text.
uint64_t key_of(const std::string& text) {
  return std::stoull(sha256(text).substr(0, 16), nullptr, 16);
}

/// How good the first of two is, by a verdict.
double win_of(rules::Preference verdict) {
  return verdict == rules::Preference::first ? 1.0 : verdict == rules::Preference::tie ? 0.5 : 0.0;
}

/// Two responses of a group as they are shown: first A, then B.
struct Comparison {
  size_t first, second;
};

/// Each response with its next `opponents` in the group, once for each two, in both orders.
std::vector<Comparison> comparisons(int64_t begin, int64_t end, int64_t opponents) {
  std::vector<Comparison> out;
  const int64_t n = end - begin;
  const int64_t next = opponents > 0 ? std::min(opponents, n - 1) : n - 1;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t step = 1; step <= next; ++step) {
      const int64_t j = (i + step) % n;
      // With many opponents two meet from both sides.
      const bool met = j < i && (i - j) <= next;
      if (met) continue;
      const auto a = static_cast<size_t>(begin + i), b = static_cast<size_t>(begin + j);
      out.push_back({a, b});
      out.push_back({b, a});
    }
  }
  return out;
}

}  // namespace

struct Judge::Loaded {
  explicit Loaded(const Options& options)
      : question(options.form, options.question),
        decoder(model::load_decoder(
            options.path,
            {.model = {.compute = options.bf16 ? at::kBFloat16 : at::ScalarType::Undefined}})),
        folder(data::find_model(options.path).folder),
        tokenizer(text::Tokenizer::load(folder)) {
    if (options.conversational && text::ChatTemplate::exists(folder))
      chat_template = text::ChatTemplate::load(folder);
    encoder.emplace(tokenizer, chat_template ? &*chat_template : nullptr,
                    data::EncodeOptions{.append_eos = false});
  }

  /// The question as the model reads it: the user's, where it has a chat template.
  Text asked(const std::string& text) const {
    if (!chat_template) return text;
    return Conversation{{.role = "user", .content = text, .extra = {}}};
  }
  Text answered(const std::string& text) const {
    if (!chat_template) return text;
    return Conversation{{.role = "assistant", .content = text, .extra = {}}};
  }

  std::string ask(const RewardBatch& batch, const std::vector<size_t>& rollouts,
                  const std::vector<std::string>& ids) const {
    std::vector<data::Candidate> candidates;
    for (size_t i = 0; i < rollouts.size(); ++i)
      candidates.push_back({ids[i], batch.rollouts[rollouts[i]].text});
    const auto& example = batch.rollouts[rollouts[0]].example;
    return question.ask(example ? example->prompt : Text(), example ? example->fields : Fields(),
                        candidates);
  }

  /// `votes` replies to each question.
  std::vector<Rollout> replies(const std::vector<std::string>& questions, const Options& options) {
    std::vector<generate::Prompt> prompts;
    for (const std::string& text : questions) {
      auto example = std::make_shared<Example>();
      example->prompt = asked(text);
      std::vector<int64_t> tokens = encoder->prompt(example->prompt);
      prompts.push_back(
          {.example = std::move(example), .tokens = std::move(tokens), .key = key_of(text)});
    }
    generate::Engine engine(*decoder, tokenizer,
                            {.max_new_tokens = options.max_new_tokens,
                             .sampling = options.sampling,
                             .stop_ids = generate::stop_ids_of(folder, tokenizer),
                             .seed = static_cast<uint64_t>(options.seed),
                             .stoppable = false});
    return engine.sample(prompts, options.votes);
  }

  /// log P([[A]]) - log P([[B]]) of the reply to each question.
  std::vector<double> contrasts(const std::vector<std::string>& questions) {
    const at::NoGradGuard no_gradient;
    std::vector<double> out;
    std::vector<Sequence> sequences;
    std::vector<int64_t> groups{0};
    int64_t tokens = 0;
    const auto flush = [&] {
      if (sequences.empty()) return;
      const PackedBatch packed =
          pack(sequences, groups, {.share_prefixes = decoder->shares_prefixes()});
      const Tensor logprobs =
          loss::row_sums(model::logprobs(*decoder, packed), packed.targets, packed.rows())
              .to(at::kCPU, at::kDouble)
              .view({-1, 2});
      const Tensor difference = (logprobs.select(1, 0) - logprobs.select(1, 1)).contiguous();
      out.insert(out.end(), difference.const_data_ptr<double>(),
                 difference.const_data_ptr<double>() + difference.numel());
      sequences.clear(), groups = {0}, tokens = 0;
    };
    for (const std::string& text : questions) {
      for (const bool first : {true, false}) {
        Example row;
        row.prompt = asked(text);
        row.responses.push_back({answered(data::pair_answer(first, row.fields)), {}});
        const data::EncodedSequence encoded = encoder->completion(row, 0);
        Sequence sequence{.tokens = encoded.tokens};
        sequence.weight.assign(encoded.trained.begin(), encoded.trained.end());
        tokens += static_cast<int64_t>(sequence.tokens.size());
        sequences.push_back(std::move(sequence));
      }
      groups.push_back(static_cast<int64_t>(sequences.size()));
      if (tokens >= kTokens) flush();
    }
    flush();
    return out;
  }

  data::JudgeQuestion question;
  std::shared_ptr<model::Decoder> decoder;
  std::filesystem::path folder;  // with tokenizer and chat template
  text::Tokenizer tokenizer;
  std::optional<text::ChatTemplate> chat_template;
  std::optional<data::Encoder> encoder;
};

Judge::Judge(const Options& options) : options_(options) {
  if (options.path.empty())
    fail_settings("reward judge", "key path: must name a language model's folder or run");
  if (options.form == "list" && (options.read != "text" || options.opponents != 0))
    fail_settings("reward judge", "keys read and opponents: are of form pair");
  if (options.read == "contrast" && options.votes != 1)
    fail_settings("reward judge", "key votes: nothing is drawn by chance with read contrast");
  loaded_ = std::make_unique<Loaded>(options);
}

Judge::~Judge() = default;

Scores Judge::score(const RewardBatch& batch) {
  const auto n = static_cast<int64_t>(batch.rollouts.size());
  Scores out;
  out.total = at::full({n}, std::numeric_limits<float>::quiet_NaN(), at::kFloat);
  out.verdicts.assign(batch.rollouts.size(), Verdict::no_opinion);
  if (options_.form == "list") {
    score_lists(batch, out);
  } else {
    score_pairs(batch, out);
  }
  return out;
}

namespace {

void settle(const std::vector<Heard>& heard, Scores& scores) {
  for (size_t i = 0; i < heard.size(); ++i) {
    if (heard[i].count == 0) continue;
    scores.total.data_ptr<float>()[i] =
        static_cast<float>(heard[i].sum / static_cast<double>(heard[i].count));
    scores.verdicts[i] = Verdict::scored;
  }
}

}  // namespace

void Judge::score_pairs(const RewardBatch& batch, Scores& scores) {
  std::vector<Comparison> all;
  std::vector<std::string> questions;
  for (size_t g = 0; g + 1 < batch.groups.size(); ++g) {
    for (const Comparison& pair :
         comparisons(batch.groups[g], batch.groups[g + 1], options_.opponents)) {
      questions.push_back(loaded_->ask(batch, {pair.first, pair.second}, {"A", "B"}));
      all.push_back(pair);
    }
  }
  if (all.empty()) return;
  // What each question says about its A: the two orders of a pair stand side by side.
  std::vector<Heard> of_question(all.size());
  const bool contrast = options_.read == "contrast";
  if (contrast) {
    const std::vector<double> differences = loaded_->contrasts(questions);
    for (size_t q = 0; q < all.size(); ++q) of_question[q].add(differences[q]);
  } else {
    for (const Rollout& reply : loaded_->replies(questions, options_)) {
      const std::optional<rules::Preference> verdict = rules::read_verdict(reply.text);
      if (verdict) of_question[static_cast<size_t>(reply.group)].add(win_of(*verdict));
      scores.counts["judge/malformed"] += verdict ? 0 : 1;
    }
  }
  std::vector<Heard> heard(batch.rollouts.size());
  for (size_t q = 0; q + 1 < all.size(); q += 2) {
    Heard pair;  // about the first of the two
    for (const size_t order : {q, q + 1}) {
      if (of_question[order].count == 0) continue;
      const double said = of_question[order].sum / static_cast<double>(of_question[order].count);
      pair.add(order == q ? said : contrast ? -said : 1.0 - said);
    }
    if (pair.count == 0) continue;
    const double value = pair.sum / static_cast<double>(pair.count);
    heard[all[q].first].add(value);
    heard[all[q].second].add(contrast ? -value : 1.0 - value);
  }
  settle(heard, scores);
}

void Judge::score_lists(const RewardBatch& batch, Scores& scores) {
  struct Asked {
    std::vector<size_t> rollouts;  // in the order in which they are shown
    std::vector<std::string> ids;
  };
  std::vector<Asked> all;
  std::vector<std::string> questions;
  for (size_t g = 0; g + 1 < batch.groups.size(); ++g) {
    const int64_t begin = batch.groups[g], count = batch.groups[g + 1] - begin;
    if (count == 0) continue;
    std::string texts;
    for (int64_t i = 0; i < count; ++i)
      texts += batch.rollouts[static_cast<size_t>(begin + i)].text + '\0';
    const Random random(static_cast<uint64_t>(options_.seed), Purpose::choose, key_of(texts));
    Asked asked;
    for (const int64_t i : random.permutation(count)) {
      asked.ids.push_back(data::candidate_name(asked.rollouts.size()));
      asked.rollouts.push_back(static_cast<size_t>(begin + i));
    }
    questions.push_back(loaded_->ask(batch, asked.rollouts, asked.ids));
    all.push_back(std::move(asked));
  }
  if (all.empty()) return;
  std::vector<Heard> heard(batch.rollouts.size());
  for (const Rollout& reply : loaded_->replies(questions, options_)) {
    const Asked& asked = all[static_cast<size_t>(reply.group)];
    const rules::ListVerdict verdict = rules::read_list_verdict(reply.text, asked.ids);
    scores.counts["judge/malformed"] += verdict.covers ? 0 : 1;
    if (!verdict.covers) continue;
    for (size_t i = 0; i < asked.rollouts.size(); ++i)
      heard[asked.rollouts[i]].add(*verdict.scores[i]);
  }
  settle(heard, scores);
}

void describe(SettingList& field, Judge::Options& o) {
  field("path", o.path, "Folder of the judging language model, or of the run that made it");
  field("form", o.form, "Two responses in a question, or all of them",
        {.choices = {"pair", "list"}});
  field("question", o.question, "A Jinja file in place of the built-in question");
  field("read", o.read,
        "pair: the verdict in the reply, or the log-odds of the two verdicts without a reply",
        {.choices = {"text", "contrast"}});
  field("opponents", o.opponents, "pair: others that a response is compared with; 0: all",
        {.min = 0});
  field("votes", o.votes, "Replies to each question", {.min = 1});
  describe(field, o.sampling);
  field("max_new_tokens", o.max_new_tokens, "Tokens that a reply may have", {.min = 1});
  field("seed", o.seed, "Of replies and of the order of a list", {.min = 0});
  field("bf16", o.bf16, "Compute in bfloat16");
  field("conversational", o.conversational,
        "Ask as the user, where the model has a chat template: as it was trained, or not");
}

Scores VerdictReward::score(const RewardBatch& batch) {
  return score_each(batch, [&](const Rollout& rollout) -> std::optional<float> {
    const char* field = options_.form == "pair" ? "verdict" : "gold_scores";
    if (!rollout.example || !rollout.example->fields.has(field)) return std::nullopt;
    const Fields& row = rollout.example->fields;
    if (options_.form == "pair") {
      const auto known = rules::read_verdict("[[" + row.text(field) + "]]");
      if (!known) fail_input(row.where(), "field \"verdict\" must be A, B or C");
      return rules::read_verdict(rollout.text) == known ? 1.0F : 0.0F;
    }
    std::vector<std::string> ids;
    std::vector<double> gold;
    for (const auto& [id, value] : row.json()[field].items()) {
      if (!value.is_number())
        fail_input(row.where(), "field \"gold_scores\" must be {ID: number, ...}");
      ids.push_back(id);
      gold.push_back(value.get<double>());
    }
    if (ids.empty()) fail_input(row.where(), "field \"gold_scores\" names no response");
    return static_cast<float>(
        rules::list_reward(rules::read_list_verdict(rollout.text, ids), gold));
  });
}

void describe(SettingList& field, VerdictReward::Options& o) {
  field("form", o.form, "What the reply is about: two responses or a list",
        {.choices = {"pair", "list"}});
}

}  // namespace guerdon
