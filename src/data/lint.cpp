#include "guerdon/data/lint.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <unordered_map>
#include <unordered_set>

#include "guerdon/base/error.h"
#include "guerdon/data/formats.h"
#include "guerdon/data/prompt_key.h"

namespace guerdon::data {
namespace {

constexpr size_t kPlacesShown = 5;
constexpr double kFatalIdentical = 0.10, kFatalSwapped = 0.05, kFatalDropped = 0.5;
constexpr double kUsualLonger = 0.15;  // the longer answer may win in 50 +- 15 % of the pairs
constexpr double kUntrainedEnds = 0.01;

/// Rows that something was found in.
struct Seen {
  int64_t count = 0;
  std::vector<std::string> where;
  void add(const std::string& place) {
    if (++count <= static_cast<int64_t>(kPlacesShown)) where.push_back(place);
  }
};

uint64_t hash_of(const std::string& text) { return std::hash<std::string>{}(text); }

std::string answer_text(const Text& text) {
  return is_conversational(text) ? conversation_json(std::get<Conversation>(text)).dump()
                                 : std::get<std::string>(text);
}

/// What a reader of the answer sees, in characters (bytes), where there is no tokenizer.
int64_t characters(const Text& text) {
  if (!is_conversational(text)) return static_cast<int64_t>(std::get<std::string>(text).size());
  int64_t sum = 0;
  for (const Message& message : std::get<Conversation>(text))
    sum += static_cast<int64_t>(message.content.size());
  return sum;
}

class Linter {
 public:
  Linter(const text::Tokenizer* tokenizer, const Encoder* encoder, const LintOptions& options)
      : encoder_(encoder), options_(options) {
    if (tokenizer) eos_ = tokenizer->eos();
  }

  void row(const Example& example, DatasetType type) {
    ++rows_;
    const std::string& where = example.fields.where();
    const std::string prompt = prompt_text(example);
    prompts_.insert(hash_of(prompt));
    similar_.insert(hash_of(normalised(prompt)));
    std::string whole = prompt;
    for (const Response& response : example.responses) {
      whole += "\x1f" + answer_text(response.text);
      if (characters(response.text) == 0 && !response.fields.has("ids")) empty_.add(where);
    }
    if (!rows_seen_.insert(hash_of(whole)).second) duplicate_.add(where);
    if (type == DatasetType::preference) pair(example, prompt);
    if (encoder_ && !example.responses.empty()) tokens(example, type);
  }

  void test_row(const Example& example) {
    ++test_rows_;
    const std::string prompt = prompt_text(example);
    if (prompts_.contains(hash_of(prompt))) {
      shared_.add(example.fields.where());
    } else if (similar_.contains(hash_of(normalised(prompt)))) {
      looks_shared_.add(example.fields.where());
    }
  }

  std::vector<Finding> findings() const {
    std::vector<Finding> out;
    const auto add = [&](Severity severity, const std::string& name, const Seen& seen, int64_t of,
                         const std::string& text) {
      if (seen.count == 0) return;
      out.push_back(
          {severity, name, str(seen.count, " of ", of, " ", text), seen.count, of, seen.where});
    };
    const auto share = [](const Seen& seen, int64_t of) {
      return of == 0 ? 0.0 : static_cast<double>(seen.count) / static_cast<double>(of);
    };
    const auto fatal_from = [&](const Seen& seen, int64_t of, double limit) {
      return share(seen, of) >= limit ? Severity::fatal : Severity::warning;
    };
    add(fatal_from(identical_, pairs_, kFatalIdentical), "identical_pairs", identical_, pairs_,
        "pairs have a chosen that equals the rejected: no signal");
    add(fatal_from(swapped_, pairs_, kFatalSwapped), "swapped_pairs", swapped_, pairs_,
        "pairs stand elsewhere with chosen and rejected the other way round");
    add(Severity::warning, "contradictory_answers", contradictory_, pairs_,
        "pairs have an answer that another pair of the same prompt judges the other way");
    add(Severity::warning, "duplicate_rows", duplicate_, rows_, "rows stand there before");
    add(Severity::warning, "empty_completions", empty_, rows_,
        "rows have a completion without text");
    add(Severity::fatal, "shared_prompts", shared_, test_rows_,
        "test rows have a prompt that is trained on");
    add(Severity::warning, "similar_prompts", looks_shared_, test_rows_,
        "test rows have a prompt that is trained on but for case, punctuation or spaces");
    length_bias(out);
    const int64_t dropped = truncation_.dropped();
    if (const int64_t touched = dropped + truncation_.of(Cut::cut); touched > 0) {
      std::string text =
          str(touched, " of ", truncation_.rows(), " rows are longer than max_length ",
              options_.max_length, " (", name_of(options_.truncation_mode), "):");
      for (const auto& [name, count] : truncation_.by_name()) text += str(" ", name, " ", count);
      const bool most =
          static_cast<double>(dropped) >= kFatalDropped * static_cast<double>(truncation_.rows());
      out.push_back({most ? Severity::fatal : Severity::warning, "truncated", text, touched,
                     truncation_.rows(), truncated_});
    }
    const double open_share = share(untrained_end_, encoded_);
    if (open_share >= kUntrainedEnds) {
      add(open_share == 1.0 ? Severity::fatal : Severity::warning, "untrained_end", untrained_end_,
          encoded_, "rows train no end token: a model does not learn from them when to stop");
    }
    add(Severity::warning, "unstable_prompt", unstable_, encoded_,
        "rows whose prompt, tokenised alone, does not begin the tokens of prompt and answer "
        "(template or token boundary)");
    return out;
  }

 private:
  void pair(const Example& example, const std::string& prompt) {
    ++pairs_;
    const std::string& where = example.fields.where();
    const std::string chosen = answer_text(example.responses[0].text),
                      rejected = answer_text(example.responses[1].text);
    const bool tokenised = example.responses[0].fields.has("ids");
    if (tokenised) return;
    if (chosen == rejected) {
      identical_.add(where);
      return;
    }
    if (pair_hashes_.contains(hash_of(prompt + "\x1f" + rejected + "\x1f" + chosen))) {
      swapped_.add(where);
    } else if (judged(prompt, chosen, false) || judged(prompt, rejected, true)) {
      contradictory_.add(where);
    }
    pair_hashes_.insert(hash_of(prompt + "\x1f" + chosen + "\x1f" + rejected));
    judgements_[hash_of(prompt + "\x1f" + chosen)] |= 1;
    judgements_[hash_of(prompt + "\x1f" + rejected)] |= 2;
    if (!encoder_) {
      lengths(characters(example.responses[0].text), characters(example.responses[1].text));
    }
  }

  /// Whether an answer to a prompt was judged so before.
  bool judged(const std::string& prompt, const std::string& answer, bool as_chosen) const {
    const auto found = judgements_.find(hash_of(prompt + "\x1f" + answer));
    return found != judgements_.end() && (found->second & (as_chosen ? 1 : 2)) != 0;
  }

  void lengths(int64_t chosen, int64_t rejected) {
    if (chosen == rejected) return;
    ++unequal_;
    longer_chosen_ += chosen > rejected;
    chosen_length_ += static_cast<double>(chosen);
    rejected_length_ += static_cast<double>(rejected);
  }

  void tokens(const Example& example, DatasetType type) {
    const std::string& where = example.fields.where();
    ++encoded_;
    EncodedSequence first;
    Cut cut = Cut::whole;
    if (type == DatasetType::preference) {
      EncodedPair pair = encoder_->preference(example);
      lengths(static_cast<int64_t>(pair.chosen.tokens.size()),
              static_cast<int64_t>(pair.rejected.tokens.size()));
      first = pair.chosen;
      cut = truncate(pair, options_.max_length, options_.truncation_mode);
    } else {
      EncodedSequence whole = encoder_->supervised(example);
      first = whole;
      cut = truncate(whole, options_.max_length, options_.truncation_mode);
    }
    truncation_.add(cut);
    if (cut != Cut::whole && truncated_.size() < kPlacesShown) truncated_.push_back(where);

    bool ends = !eos_;  // without an end token there is none to be trained
    for (size_t i = 0; eos_ && !ends && i < first.tokens.size(); ++i)
      ends = first.trained[i] && first.tokens[i] == *eos_;
    if (!ends) untrained_end_.add(where);

    const bool has_prompt = !is_empty(example.prompt) && !example.responses[0].fields.has("ids");
    if (has_prompt && encoder_->prompt(example.prompt, example.fields).size() !=
                          static_cast<size_t>(first.prompt_length)) {
      unstable_.add(where);
    }
  }

  void length_bias(std::vector<Finding>& out) const {
    if (unequal_ == 0) return;
    const auto count = static_cast<double>(unequal_);
    const double longer = static_cast<double>(longer_chosen_) / count;
    const char* unit = encoder_ ? "tokens" : "characters";
    const auto rounded = [](double x) { return std::round(x * 10) / 10; };
    out.push_back({longer > 0.5 + kUsualLonger || longer < 0.5 - kUsualLonger ? Severity::warning
                                                                              : Severity::note,
                   "length_bias",
                   str("the longer answer is chosen in ", rounded(100 * longer), " % of ", unequal_,
                       " pairs of unequal length (mean ", rounded(chosen_length_ / count),
                       " against ", rounded(rejected_length_ / count), " ", unit, ")"),
                   longer_chosen_,
                   unequal_,
                   {}});
  }

  const Encoder* encoder_;
  LintOptions options_;
  std::optional<int64_t> eos_;
  int64_t rows_ = 0, test_rows_ = 0, pairs_ = 0, encoded_ = 0, unequal_ = 0, longer_chosen_ = 0;
  double chosen_length_ = 0, rejected_length_ = 0;
  std::unordered_set<uint64_t> prompts_, similar_, rows_seen_, pair_hashes_;
  std::unordered_map<uint64_t, uint8_t>
      judgements_;  // of an answer to a prompt: 1 chosen, 2 rejected, 3 both
  Seen identical_, swapped_, contradictory_, duplicate_, empty_, shared_, looks_shared_,
      untrained_end_, unstable_;
  TruncationCounts truncation_;
  std::vector<std::string> truncated_;
};

}  // namespace

std::string name_of(Severity severity) {
  constexpr std::array<const char*, 3> kNames{"note", "warning", "fatal"};
  return kNames.at(static_cast<size_t>(severity));
}

std::vector<Finding> lint(const std::vector<const DataSource*>& train,
                          const std::vector<const DataSource*>& test,
                          const text::Tokenizer* tokenizer, const Encoder* encoder,
                          const LintOptions& options) {
  Linter linter(tokenizer, encoder, options);
  for (const DataSource* source : train) {
    for (int64_t row = 0; row < source->size(); ++row) linter.row(source->at(row), source->type());
  }
  for (const DataSource* source : test) {
    for (int64_t row = 0; row < source->size(); ++row) linter.test_row(source->at(row));
  }
  return linter.findings();
}

}  // namespace guerdon::data
