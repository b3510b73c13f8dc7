#include "guerdon/data/make.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>

#include "guerdon/base/error.h"
#include "guerdon/base/json_reader.h"
#include "guerdon/base/random.h"

namespace guerdon::data {
namespace {

constexpr std::string_view kConsonants = "bdfgklmnprst", kVowels = "aeiou";
constexpr size_t kReadCharacters =
    256;  // of a completion; what is longer is long enough to be judged

std::string_view strip(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  const size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) + 1 - begin);
}

size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = row[0];
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

// ---- the instructions
// ----------------------------------------------------------------------------

/// An instruction with two places to fill; the second may be unused ("").
struct Instruction {
  std::string_view before, between, after;
  std::string (*answer)(const std::string& first, const std::string& second);
  enum class Second { none, word, count } second;
};

std::string repeated(const std::string& word, const std::string& times) {
  std::string out = word;
  for (char n = '1'; n < times[0]; ++n) out += " " + word;
  return out;
}

const std::array kInstructions{
    Instruction{"Repeat ", " ", " times.", repeated, Instruction::Second::count},
    Instruction{
        "Reverse ", "", ".",
        [](const std::string& w, const std::string&) { return std::string(w.rbegin(), w.rend()); },
        Instruction::Second::none},
    Instruction{"Write ", "", " in capitals.",
                [](const std::string& w, const std::string&) {
                  std::string out = w;
                  for (char& c : out) c = static_cast<char>(c - 'a' + 'A');
                  return out;
                },
                Instruction::Second::none},
    Instruction{"Sort the letters of ", "", ".",
                [](const std::string& w, const std::string&) {
                  std::string out = w;
                  std::sort(out.begin(), out.end());
                  return out;
                },
                Instruction::Second::none},
    Instruction{"Give the first letter of ", "", ".",
                [](const std::string& w, const std::string&) { return w.substr(0, 1); },
                Instruction::Second::none},
    Instruction{"Give the last letter of ", "", ".",
                [](const std::string& w, const std::string&) { return w.substr(w.size() - 1); },
                Instruction::Second::none},
    Instruction{"Join ", " and ", ".",
                [](const std::string& w, const std::string& v) { return w + v; },
                Instruction::Second::word},
};

bool is_word(std::string_view text) {
  return !text.empty() && text.size() <= 32 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= 'a' && c <= 'z'; });
}

struct Question {
  std::string prompt, first, answer;
};

/// The question that a prompt asks; nullopt when it is none of the task's.
std::optional<Question> parse(std::string_view prompt) {
  const std::string_view text = strip(prompt);
  for (const Instruction& form : kInstructions) {
    if (!text.starts_with(form.before) || !text.ends_with(form.after)) continue;
    if (text.size() < form.before.size() + form.after.size()) continue;
    std::string_view filled = text.substr(form.before.size());
    filled.remove_suffix(form.after.size());
    std::string first(filled), second;
    if (form.second != Instruction::Second::none) {
      const size_t cut = filled.find(form.between);
      if (cut == std::string_view::npos) continue;
      first = filled.substr(0, cut);
      second = filled.substr(cut + form.between.size());
      const bool fits = form.second == Instruction::Second::word
                            ? is_word(second)
                            : second.size() == 1 && second[0] >= '1' && second[0] <= '9';
      if (!fits) continue;
    }
    if (!is_word(first)) continue;
    return Question{std::string(text), first, form.answer(first, second)};
  }
  return std::nullopt;
}

Question question(std::string_view prompt, std::string_view task) {
  if (task != "words") fail_settings("task " + show(task), "no such task (there is: words)");
  const std::optional<Question> found = parse(prompt);
  if (!found) fail_input("prompt " + show(prompt), "is no instruction of the task \"words\"");
  return *found;
}

std::string word(Random& random) {
  const uint64_t length = 3 + random.next_below(3);
  const bool vowel_first = random.next_below(2) == 0;
  std::string out;
  for (uint64_t i = 0; i < length; ++i) {
    const std::string_view letters = (i % 2 == 0) == vowel_first ? kVowels : kConsonants;
    out.push_back(letters[random.next_below(letters.size())]);
  }
  return out;
}

std::string instruction(Random& random) {
  const Instruction& form = kInstructions[random.next_below(kInstructions.size())];
  std::string out = std::string(form.before) + word(random);
  if (form.second == Instruction::Second::word) out += std::string(form.between) + word(random);
  if (form.second == Instruction::Second::count) {
    out += std::string(form.between) + (random.next_below(2) == 0 ? "2" : "3");
  }
  return out + std::string(form.after);
}

/// A completion as the demonstrators write them.
std::string attempt(const Question& q, Random& random) {
  const double u = random.next_uniform();
  if (u < 0.45) return q.answer;
  if (u < 0.65) {
    std::string wrong = q.answer;
    const std::string letters = std::string(kConsonants) + std::string(kVowels);
    char& letter = wrong[random.next_below(wrong.size())];
    const char before = letter;
    while (letter == before) letter = letters[random.next_below(letters.size())];
    return wrong;
  }
  if (u < 0.80) return "ok: " + q.answer;
  if (u < 0.90) return q.answer + " " + q.answer;
  return q.first;
}

double reward(const Question& q, std::string_view completion) {
  const std::string_view given = strip(completion);
  if (given.empty()) return 0.0;
  const std::string_view read = given.substr(0, kReadCharacters);
  const double longer = static_cast<double>(std::max(read.size(), q.answer.size()));
  const double similarity = 1.0 - static_cast<double>(edit_distance(read, q.answer)) / longer;
  const double exact = given == q.answer ? 1.0 : 0.0;
  const double excess = given.size() > q.answer.size()
                            ? static_cast<double>(given.size() - q.answer.size()) /
                                  static_cast<double>(q.answer.size())
                            : 0.0;
  return 0.6 * similarity + 0.4 * exact - 0.2 * std::min(1.0, excess);
}

// ---- the files
// -----------------------------------------------------------------------------------

/// Which rows a stream of random numbers is for; a part of the meaning of a seed, like Purpose.
enum class Stream : uint64_t { sft = 1, sft_eval, pairs, pairs_eval, prompts, prompts_eval };

/// One instruction in eight is held out, whatever the sizes of the files. FNV-1a, spread by a final
/// multiplication.
bool held_out(std::string_view prompt) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : prompt) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  return (hash * 0x9E3779B97F4A7C15) >> 61 == 0;
}

struct Averages {
  double sum = 0;
  int64_t count = 0;
  void add(double value) {
    sum += value;
    ++count;
  }
  double mean() const { return count == 0 ? 0.0 : sum / static_cast<double>(count); }
};

class Maker {
 public:
  explicit Maker(const MakeOptions& options) : options_(options) {}

  std::string demonstrations(int64_t rows, Stream stream, bool eval) {
    return lines(rows, stream, eval, [&](const Question& q, Random& random) {
      const std::string completion = attempt(q, random);
      demonstrated.add(reward(q, completion));
      return Json{{"prompt", prompt(q)}, {"completion", answer(completion)}};
    });
  }

  std::string pairs(int64_t rows, Stream stream, bool eval) {
    return lines(rows, stream, eval, [&](const Question& q, Random& random) {
      std::string a, b;
      double reward_a = 0, reward_b = 0;
      do {
        a = attempt(q, random), b = attempt(q, random);
        reward_a = reward(q, a), reward_b = reward(q, b);
      } while (a == b || (!options_.ties && reward_a == reward_b));
      const bool tie = reward_a == reward_b;
      const double first_wins =
          1.0 / (1.0 + std::exp((reward_b - reward_a) / options_.temperature));
      bool first_chosen = random.next_uniform() < first_wins;
      if (random.next_uniform() < options_.flip) first_chosen = !first_chosen;
      if (!first_chosen) std::swap(a, b), std::swap(reward_a, reward_b);
      chosen.add(reward_a);
      rejected.add(reward_b);
      if (!tie) right_order.add(reward_a > reward_b ? 1.0 : 0.0);

      Json row = {{"prompt", prompt(q)}, {"chosen", answer(a)}, {"rejected", answer(b)}};
      if (options_.margins) row["margin"] = reward_a - reward_b;
      if (options_.ties) row["tie"] = tie;
      row["true_chosen"] = reward_a;
      row["true_rejected"] = reward_b;
      return row;
    });
  }

  std::string prompts(int64_t rows, Stream stream, bool eval) {
    return lines(rows, stream, eval, [&](const Question& q, Random&) {
      return Json{{"prompt", prompt(q)}, {"answer", q.answer}};
    });
  }

  Averages demonstrated, chosen, rejected, right_order;

 private:
  std::string lines(int64_t rows, Stream stream, bool eval,
                    const std::function<Json(const Question&, Random&)>& row) const {
    std::string out;
    for (int64_t i = 0; i < rows; ++i) {
      Random random(options_.seed, Purpose::data, static_cast<uint64_t>(stream),
                    static_cast<uint64_t>(i));
      std::string text = instruction(random);
      while (held_out(text) != eval) text = instruction(random);
      out += row(*parse(text), random).dump() + "\n";
    }
    return out;
  }

  Json prompt(const Question& q) const {
    if (!options_.conversational) return q.prompt + "\n";
    return Json::array({{{"role", "user"}, {"content", q.prompt}}});
  }
  Json answer(const std::string& text) const {
    if (!options_.conversational) return text;
    return Json::array({{{"role", "assistant"}, {"content", text}}});
  }

  const MakeOptions& options_;
};

void check(const MakeOptions& o) {
  if (o.task != "words") fail_settings("task " + show(o.task), "no such task (there is: words)");
  for (const auto& [name, rows] : {std::pair("sft", o.sft), std::pair("pairs", o.pairs),
                                   std::pair("prompts", o.prompts), std::pair("eval", o.eval)}) {
    if (rows < 0 || rows > 100'000'000)
      fail_settings(str("flag --", name), str("must lie in [0, 1e8], got ", rows));
  }
  if (!(o.temperature > 0) || !std::isfinite(o.temperature)) {
    fail_settings("flag --temperature",
                  str("must be finite and greater than 0, got ", o.temperature));
  }
  if (!(o.flip >= 0 && o.flip <= 1))
    fail_settings("flag --flip", str("must lie in [0, 1], got ", o.flip));
}

}  // namespace

double true_reward(std::string_view prompt, std::string_view completion, std::string_view task) {
  return reward(question(prompt, task), completion);
}

std::string true_answer(std::string_view prompt, std::string_view task) {
  return question(prompt, task).answer;
}

std::vector<MadeFile> make_data(const MakeOptions& options) {
  check(options);
  Maker train(options), held(options);
  std::vector<MadeFile> files;
  const auto add = [&](const std::string& name, std::string text) {
    if (!text.empty()) files.push_back({name, std::move(text)});
  };
  add("sft.jsonl", train.demonstrations(options.sft, Stream::sft, false));
  add("sft_eval.jsonl", held.demonstrations(options.eval, Stream::sft_eval, true));
  add("pairs.jsonl", train.pairs(options.pairs, Stream::pairs, false));
  add("pairs_eval.jsonl", held.pairs(options.eval, Stream::pairs_eval, true));
  add("prompts.jsonl", train.prompts(options.prompts, Stream::prompts, false));
  add("prompts_eval.jsonl", held.prompts(options.eval, Stream::prompts_eval, true));

  const Json truth = {
      {"task", options.task},
      {"seed", options.seed},
      {"reward",
       "0.6 similarity + 0.4 [completion is the answer] - 0.2 min(1, excess length / answer "
       "length)"},
      {"best_reward", 1.0},
      {"preference",
       "P(chosen over rejected) = sigmoid(difference of rewards / temperature), then flipped"},
      {"temperature", options.temperature},
      {"flip", options.flip},
      {"demonstrations_mean_reward", train.demonstrated.mean()},
      {"chosen_mean_reward", train.chosen.mean()},
      {"rejected_mean_reward", train.rejected.mean()},
      {"best_accuracy_train", train.right_order.mean()},
      {"best_accuracy_eval", held.right_order.mean()},
  };
  add("truth.json", truth.dump(2) + "\n");
  return files;
}

}  // namespace guerdon::data
