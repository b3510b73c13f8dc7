#include "guerdon/data/make.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>

#include "guerdon/base/edit_distance.h"
#include "guerdon/base/error.h"
#include "guerdon/base/json_reader.h"
#include "guerdon/base/random.h"

namespace guerdon::data {
namespace {

using Words = std::vector<std::string>;

constexpr std::array<std::string_view, 42> kWords{
    "cat",  "dog",   "sun",  "sea",  "bee",  "fox",  "hen",  "owl",  "pig", "cow", "ant",
    "bat",  "elm",   "oak",  "ivy",  "sky",  "ice",  "egg",  "jam",  "nut", "pea", "rye",
    "tea",  "yam",   "cup",  "hat",  "pen",  "key",  "map",  "net",  "bag", "box", "red",
    "blue", "green", "pink", "gold", "grey", "rose", "plum", "lime", "corn"};
constexpr size_t kListed = 4;      // responses of a list
constexpr size_t kReadWords = 64;  // of a completion; what is longer is long enough to be judged

Words split(std::string_view text) {
  Words out;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = text.find_first_not_of(" \t\r\n", at);
    if (begin == std::string_view::npos) break;
    const size_t end = std::min(text.find_first_of(" \t\r\n", begin), text.size());
    out.emplace_back(text.substr(begin, end - begin));
    at = end;
  }
  return out;
}

std::string joined(const Words& words) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : " ") + word;
  return out;
}

// ---- the instructions

/// An instruction: W stands for a word and N for a number in its pattern, and its answer is made of
/// the words.
struct Instruction {
  std::string_view pattern;
  Words (*answer)(const Words& w, int64_t n);
};

const std::array kInstructions{
    Instruction{"Repeat W N times",
                [](const Words& w, int64_t n) { return Words(static_cast<size_t>(n), w[0]); }},
    Instruction{"Reverse W W W",
                [](const Words& w, int64_t) {
                  return Words{w[2], w[1], w[0]};
                }},
    Instruction{"First of W W W", [](const Words& w, int64_t) { return Words{w[0]}; }},
    Instruction{"Last of W W W", [](const Words& w, int64_t) { return Words{w[2]}; }},
    Instruction{"Swap W and W",
                [](const Words& w, int64_t) {
                  return Words{w[1], "and", w[0]};
                }},
    Instruction{"Double W W",
                [](const Words& w, int64_t) {
                  return Words{w[0], w[0], w[1], w[1]};
                }},
    Instruction{"Join W and W and W", [](const Words& w, int64_t) { return w; }},
};

bool is_word(std::string_view text) {
  return !text.empty() && text.size() <= 32 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= 'a' && c <= 'z'; });
}

struct Question {
  std::string prompt;  ///< "Reverse cat dog sun:"
  Words words, answer;
};

/// The question that a prompt asks; nullopt when it is none of the task's.
std::optional<Question> parse(std::string_view prompt) {
  Words given = split(prompt);
  if (given.empty() || !given.back().ends_with(':')) return std::nullopt;
  Question question{joined(given), {}, {}};
  given.back().pop_back();
  for (const Instruction& form : kInstructions) {
    const Words pattern = split(form.pattern);
    int64_t number = 0;
    question.words.clear();
    bool fits = pattern.size() == given.size();
    for (size_t i = 0; fits && i < pattern.size(); ++i) {
      if (pattern[i] == "W") {
        fits = is_word(given[i]);
        question.words.push_back(given[i]);
      } else if (pattern[i] == "N") {
        fits = given[i].size() == 1 && given[i][0] >= '1' && given[i][0] <= '9';
        number = given[i][0] - '0';
      } else {
        fits = pattern[i] == given[i];
      }
    }
    if (!fits) continue;
    question.answer = form.answer(question.words, number);
    return question;
  }
  return std::nullopt;
}

Question question(std::string_view prompt, std::string_view task) {
  if (task != "words") fail_settings("task " + show(task), "no such task (there is: words)");
  const std::optional<Question> found = parse(prompt);
  if (!found) fail_input("prompt " + show(prompt), "is no instruction of the task \"words\"");
  return *found;
}

std::string any_word(Random& random) {
  return std::string(kWords[random.next_below(kWords.size())]);
}

std::string instruction(Random& random) {
  const Instruction& form = kInstructions[random.next_below(kInstructions.size())];
  Words out;
  for (const std::string& part : split(form.pattern)) {
    if (part == "N") {
      out.emplace_back(random.next_below(2) == 0 ? "2" : "3");
      continue;
    }
    std::string word = part == "W" ? any_word(random) : part;
    while (part == "W" && std::find(out.begin(), out.end(), word) != out.end())
      word = any_word(random);
    out.push_back(word);
  }
  return joined(out) + ":";
}

/// A completion as the demonstrators write them.
Words attempt(const Question& q, Random& random) {
  const double u = random.next_uniform();
  Words out = q.answer;
  if (u < 0.45) return out;
  if (u < 0.65) {
    std::string& word = out[random.next_below(out.size())];
    const std::string right = word;
    while (word == right) word = any_word(random);
  } else if (u < 0.80) {
    out.insert(out.begin(), {"sure", "here", "is"});
  } else if (u < 0.90) {
    out.insert(out.end(), q.answer.begin(), q.answer.end());
  } else {
    out = q.words;
  }
  return out;
}

/// A completion that is not the answer.
Words flawed_attempt(const Question& q, Random& random) {
  Words out = attempt(q, random);
  while (out == q.answer) out = attempt(q, random);
  return out;
}

/// `text` with half of its words, rounded down, taken from the answer at their place; what the
/// answer has no word for is left out.
Words half_rewritten(const Question& q, const Words& text, Random& random) {
  const auto order =
      Random(random.next_bits(), Purpose::data).permutation(static_cast<int64_t>(text.size()));
  std::vector<bool> rewritten(text.size(), false);
  for (size_t i = 0; i < text.size() / 2; ++i) rewritten[static_cast<size_t>(order[i])] = true;
  Words out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (!rewritten[i]) out.push_back(text[i]);
    if (rewritten[i] && i < q.answer.size()) out.push_back(q.answer[i]);
  }
  return out;
}

/// What the reward is made of, each in [0, 1].
struct Qualities {
  double similarity = 0, exact = 0, excess = 0;
  double reward() const { return 0.6 * similarity + 0.4 * exact - 0.2 * excess; }
};

Qualities qualities(const Question& q, Words given) {
  if (given.empty()) return {};
  Qualities out;
  out.exact = given == q.answer ? 1.0 : 0.0;
  const auto right = static_cast<double>(q.answer.size());
  out.excess = std::min(1.0, std::max(0.0, static_cast<double>(given.size()) - right) / right);
  given.resize(std::min(given.size(), kReadWords));
  const double longer = std::max(static_cast<double>(given.size()), right);
  out.similarity = 1.0 - static_cast<double>(edit_distance(given, q.answer)) / longer;
  return out;
}

double reward(const Question& q, const Words& given) { return qualities(q, given).reward(); }

/// What an annotator says: slightly, clearly or much better.
int64_t strength(double difference) {
  return std::clamp<int64_t>(static_cast<int64_t>(std::ceil(3.0 * std::abs(difference))), 1, 3);
}

// ---- the files

/// Which rows a stream of random numbers is for; a part of the meaning of a seed, like Purpose.
enum class Stream : uint64_t {
  sft = 1,
  sft_eval,
  pairs,
  pairs_eval,
  prompts,
  prompts_eval,
  ratings,
  ratings_eval,
  lists,
  lists_eval,
  chains,
  chains_eval,
  texts_eval,
  labels,
  labels_eval,
  feedback,
  feedback_eval,
  steps,
  steps_eval
};

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
      const Words completion = attempt(q, random);
      demonstrated.add(reward(q, completion));
      return Json{{"prompt", prompt(q)}, {"completion", answer(completion)}};
    });
  }

  std::string pairs(int64_t rows, Stream stream, bool eval) {
    return lines(rows, stream, eval, [&](const Question& q, Random& random) {
      Words a, b;
      double reward_a = 0, reward_b = 0;
      do {
        a = attempt(q, random), b = attempt(q, random);
        reward_a = reward(q, a), reward_b = reward(q, b);
      } while (a == b || (!options_.ties && reward_a == reward_b));
      const bool tie = reward_a == reward_b;
      const double first_wins =
          1.0 / (1.0 + std::exp((reward_b - reward_a) / options_.temperature));
      bool first_chosen = random.next_uniform() < first_wins;
      const bool flipped = random.next_uniform() < options_.flip;
      if (flipped) first_chosen = !first_chosen;
      if (!first_chosen) std::swap(a, b), std::swap(reward_a, reward_b);
      chosen.add(reward_a);
      rejected.add(reward_b);
      if (!tie) right_order.add(reward_a > reward_b ? 1.0 : 0.0);

      Json row = {{"prompt", prompt(q)}, {"chosen", answer(a)}, {"rejected", answer(b)}};
      if (options_.margins) row["margin"] = reward_a - reward_b;
      if (options_.strengths) {
        row["strength"] = strength(reward_a - reward_b);
        row["strength_mean"] = reward_a - reward_b;
      }
      if (options_.ties) row["tie"] = tie;
      if (options_.flip > 0) row["clean"] = !flipped;
      row["true_chosen"] = reward_a;
      row["true_rejected"] = reward_b;
      return row;
    });
  }

  std::string prompts(int64_t rows, Stream stream, bool eval) {
    return lines(rows, stream, eval, [&](const Question& q, Random&) {
      return Json{{"prompt", prompt(q)}, {"answer", joined(q.answer)}};
    });
  }

  std::string ratings(int64_t rows, Stream stream, bool eval) {
    return lines(rows, stream, eval, [&](const Question& q, Random& random) {
      const Words completion = attempt(q, random);
      const Qualities found = qualities(q, completion);
      Json row = {{"prompt", prompt(q)}, {"completion", answer(completion)}};
      row["helpfulness"] = std::lround(4.0 * std::max(0.0, found.reward()));
      // Not everything is rated.
      const auto rate = [&](const char* name, double quality) {
        row[name] = random.next_uniform() < 0.2 ? Json(nullptr) : Json(std::lround(4.0 * quality));
      };
      rate("correctness", found.similarity);
      rate("brevity", 1.0 - found.excess);
      return row;
    });
  }

  std::string feedback(int64_t rows, Stream stream, bool eval) {
    return lines(rows, stream, eval, [&](const Question& q, Random& random) {
      const Words completion = attempt(q, random);
      const Qualities found = qualities(q, completion);
      const std::pair<const char*, bool> principles[] = {
          {"the answer is right", found.exact > 0},
          {"nothing is added", found.excess == 0},
          {"most words are right", found.similarity >= 0.5}};
      const auto& [principle, holds] = principles[random.next_below(std::size(principles))];
      return Json{{"prompt", prompt(q)},
                  {"completion", answer(completion)},
                  {"principle", principle},
                  {"label", holds}};
    });
  }

  std::string steps(int64_t rows, Stream stream, bool eval) {
    return lines(rows, stream, eval, [&](const Question& q, Random& random) {
      const Words completion = attempt(q, random);
      Json row = {{"prompt", q.prompt}, {"completions", Json::array()}, {"labels", Json::array()}};
      bool right = true;
      for (size_t k = 0; k < completion.size(); ++k) {
        right = right && k < q.answer.size() && completion[k] == q.answer[k];
        row["completions"].push_back(" " + completion[k]);
        row["labels"].push_back(right);
      }
      return row;
    });
  }

  std::string lists(int64_t rows, Stream stream, bool eval) {
    return lines(rows, stream, eval, [&](const Question& q, Random& random) {
      std::vector<double> keys;
      Json row = {{"prompt", prompt(q)}, {"responses", Json::array()}, {"ranks", Json::array()}};
      for (size_t i = 0; i < kListed; ++i) {
        const Words completion = attempt(q, random);
        row["responses"].push_back(answer(completion));
        // The largest of values with Gumbel's noise is a draw of their softmax.
        const double u = std::max(random.next_uniform(), 1e-12);
        keys.push_back(reward(q, completion) / options_.temperature - std::log(-std::log(u)));
      }
      for (const double key : keys)
        row["ranks"].push_back(
            1 + std::count_if(keys.begin(), keys.end(), [&](double other) { return other > key; }));
      return row;
    });
  }

  std::string chains(int64_t rows, Stream stream, bool eval) {
    return lines(rows, stream, eval, [&](const Question& q, Random& random) {
      const Words person = flawed_attempt(q, random);
      const Words mixed = half_rewritten(q, person, random);
      return Json{{"prompt", prompt(q)},
                  {"responses", {answer(q.answer), answer(mixed), answer(person)}},
                  {"ranks", {1, 2, 3}}};
    });
  }

  std::string texts(int64_t rows, Stream stream, bool eval) {
    return lines(rows, stream, eval, [&](const Question& q, Random& random) {
      const bool model = random.next_below(2) == 1;
      const Words text = model ? q.answer : flawed_attempt(q, random);
      return Json{{"text", q.prompt + " " + joined(text)}, {"label", model ? 1 : 0}};
    });
  }

  std::string labels(int64_t rows, Stream stream, bool eval) {
    return lines(rows, stream, eval, [&](const Question& q, Random& random) {
      const Words completion = attempt(q, random);
      return Json{{"prompt", prompt(q)},
                  {"completion", answer(completion)},
                  {"label", completion == q.answer},
                  {"category", split(q.prompt)[0]}};
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

  // Plain completions begin with the space that divides them from their prompt, so that each word
  // is the same token everywhere.
  Json prompt(const Question& q) const {
    if (!options_.conversational) return q.prompt;
    return Json::array({{{"role", "user"}, {"content", q.prompt}}});
  }
  Json answer(const Words& words) const {
    if (!options_.conversational) return " " + joined(words);
    return Json::array({{{"role", "assistant"}, {"content", joined(words)}}});
  }

  const MakeOptions& options_;
};

void check(const MakeOptions& o) {
  if (o.task != "words") fail_settings("task " + show(o.task), "no such task (there is: words)");
  for (const auto& [name, rows] :
       {std::pair("sft", o.sft), std::pair("pairs", o.pairs), std::pair("prompts", o.prompts),
        std::pair("eval", o.eval), std::pair("ratings", o.ratings),
        std::pair("feedback", o.feedback), std::pair("steps", o.steps), std::pair("lists", o.lists),
        std::pair("chains", o.chains), std::pair("labels", o.labels)}) {
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
  return reward(question(prompt, task), split(completion));
}

std::string true_answer(std::string_view prompt, std::string_view task) {
  return joined(question(prompt, task).answer);
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

  if (options.ratings > 0) {
    add("ratings.jsonl", train.ratings(options.ratings, Stream::ratings, false));
    add("ratings_eval.jsonl", held.ratings(options.eval, Stream::ratings_eval, true));
  }
  if (options.feedback > 0) {
    add("feedback.jsonl", train.feedback(options.feedback, Stream::feedback, false));
    add("feedback_eval.jsonl", held.feedback(options.eval, Stream::feedback_eval, true));
  }
  if (options.steps > 0) {
    add("steps.jsonl", train.steps(options.steps, Stream::steps, false));
    add("steps_eval.jsonl", held.steps(options.eval, Stream::steps_eval, true));
  }
  if (options.lists > 0) {
    add("lists.jsonl", train.lists(options.lists, Stream::lists, false));
    add("lists_eval.jsonl", held.lists(options.eval, Stream::lists_eval, true));
  }

  if (options.chains > 0) {
    add("chains.jsonl", train.chains(options.chains, Stream::chains, false));
    add("chains_eval.jsonl", held.chains(options.eval, Stream::chains_eval, true));
    add("texts_eval.jsonl", held.texts(options.eval, Stream::texts_eval, true));
  }

  if (options.labels > 0) {
    add("labels.jsonl", train.labels(options.labels, Stream::labels, false));
    add("labels_eval.jsonl", held.labels(options.eval, Stream::labels_eval, true));
  }

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
