#include "guerdon/data/truncation.h"

#include <algorithm>
#include <array>

#include "guerdon/base/error.h"

namespace guerdon::data {
namespace {

constexpr std::array kModes{std::pair("filter", TruncationMode::filter),
                            std::pair("keep_start", TruncationMode::keep_start),
                            std::pair("keep_end", TruncationMode::keep_end),
                            std::pair("prompt_left", TruncationMode::prompt_left)};

int64_t length(const EncodedSequence& sequence) {
  return static_cast<int64_t>(sequence.tokens.size());
}

/// Keeps [begin, end) of every per-token list.
void keep(EncodedSequence& sequence, int64_t begin, int64_t end) {
  const auto cut = [&](auto& values) {
    if (values.empty()) return;  // roles that nobody asked for
    values.erase(values.begin() + end, values.end());
    values.erase(values.begin(), values.begin() + begin);
  };
  cut(sequence.tokens);
  cut(sequence.trained);
  cut(sequence.roles);
  sequence.prompt_length = std::clamp<int64_t>(sequence.prompt_length - begin, 0, end - begin);
}

bool trains_something(const EncodedSequence& sequence) {
  return std::any_of(sequence.trained.begin(), sequence.trained.end(),
                     [](uint8_t t) { return t != 0; });
}

/// Cuts a sequence whose first `excess` tokens go under prompt_left; there `excess` may be more
/// than the sequence needs, so that the two sides of a pair keep the same prompt.
Cut cut_to(EncodedSequence& sequence, int64_t max_length, TruncationMode mode, int64_t excess) {
  const int64_t size = length(sequence);
  if (mode == TruncationMode::prompt_left && sequence.prompt_length == 0)
    mode = TruncationMode::keep_start;
  if (mode == TruncationMode::prompt_left ? excess <= 0 : size <= max_length) return Cut::whole;
  EncodedSequence shorter = sequence;
  switch (mode) {
    case TruncationMode::filter: return Cut::too_long;
    case TruncationMode::keep_start:
      if (sequence.prompt_length >= max_length) return Cut::prompt_fills;
      keep(shorter, 0, max_length);
      break;
    case TruncationMode::keep_end: keep(shorter, size - max_length, size); break;
    case TruncationMode::prompt_left:
      // One token of the prompt stays: something has to predict the completion's first.
      if (excess >= sequence.prompt_length) return Cut::too_long;
      keep(shorter, excess, size);
      break;
  }
  if (!trains_something(shorter)) return Cut::nothing_trained;
  sequence = std::move(shorter);
  return Cut::cut;
}

}  // namespace

std::string name_of(TruncationMode mode) {
  for (const auto& [name, value] : kModes) {
    if (value == mode) return name;
  }
  GUERDON_CHECK(false, "unknown truncation mode");
}

TruncationMode truncation_mode(const std::string& name, const std::string& where) {
  std::vector<std::string> names;
  for (const auto& [known, value] : kModes) {
    if (known == name) return value;
    names.emplace_back(known);
  }
  fail_settings(where, "must be filter, keep_start, keep_end or prompt_left, got " + show(name) +
                           did_you_mean(name, names));
}

Cut truncate(EncodedSequence& sequence, int64_t max_length, TruncationMode mode) {
  GUERDON_CHECK(max_length > 0, "truncate: max_length must be positive, got ", max_length);
  return cut_to(sequence, max_length, mode, length(sequence) - max_length);
}

Cut truncate(EncodedPair& pair, int64_t max_length, TruncationMode mode) {
  GUERDON_CHECK(max_length > 0, "truncate: max_length must be positive, got ", max_length);
  const bool differed = pair.chosen.tokens != pair.rejected.tokens;
  const int64_t excess = std::max(length(pair.chosen), length(pair.rejected)) - max_length;
  EncodedPair shorter = pair;
  const Cut chosen = cut_to(shorter.chosen, max_length, mode, excess);
  const Cut rejected = cut_to(shorter.rejected, max_length, mode, excess);
  if (!is_kept(chosen)) return chosen;
  if (!is_kept(rejected)) return rejected;
  if (differed && shorter.chosen.tokens == shorter.rejected.tokens) return Cut::difference_cut_off;
  pair = std::move(shorter);
  return chosen == Cut::cut || rejected == Cut::cut ? Cut::cut : Cut::whole;
}

Cut truncate_prompt(std::vector<int64_t>& tokens, int64_t max_length) {
  GUERDON_CHECK(max_length > 0, "truncate_prompt: max_length must be positive, got ", max_length);
  const int64_t excess = static_cast<int64_t>(tokens.size()) - max_length;
  if (excess <= 0) return Cut::whole;
  tokens.erase(tokens.begin(), tokens.begin() + excess);
  return Cut::cut;
}

int64_t TruncationCounts::of(Cut cut) const {
  const auto found = counts_.find(cut);
  return found == counts_.end() ? 0 : found->second;
}

int64_t TruncationCounts::rows() const {
  int64_t sum = 0;
  for (const auto& [cut, count] : counts_) sum += count;
  return sum;
}

int64_t TruncationCounts::dropped() const { return rows() - of(Cut::whole) - of(Cut::cut); }

std::map<std::string, int64_t> TruncationCounts::by_name() const {
  std::map<std::string, int64_t> out;
  for (const auto& [cut, name] :
       {std::pair(Cut::cut, "truncated"), std::pair(Cut::too_long, "dropped/too_long"),
        std::pair(Cut::prompt_fills, "dropped/prompt_fills"),
        std::pair(Cut::nothing_trained, "dropped/nothing_trained"),
        std::pair(Cut::difference_cut_off, "dropped/difference_cut_off")}) {
    if (of(cut) > 0) out[name] = of(cut);
  }
  return out;
}

}  // namespace guerdon::data
