#include "guerdon/rules/judgement.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"
#include "guerdon/base/json_reader.h"
#include "guerdon/math/statistics.h"
#include "guerdon/rules/format.h"

namespace guerdon::rules {
namespace {

constexpr double kFormShare = 0.15;
constexpr double kRange = 4.0;  // of scores from 1 to 5

std::string_view trimmed(std::string_view text, std::string_view off) {
  const size_t begin = text.find_first_not_of(off);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(off) + 1 - begin);
}

std::string lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
  return out;
}

std::optional<Preference> named(std::string_view text) {
  static const std::map<std::string, Preference> names = {
      {"a", Preference::first},     {"a>b", Preference::first},  {"a>>b", Preference::first},
      {"b", Preference::second},    {"b>a", Preference::second}, {"b>>a", Preference::second},
      {"b<a", Preference::first},   {"b<<a", Preference::first}, {"a<b", Preference::second},
      {"a<<b", Preference::second}, {"c", Preference::tie},      {"tie", Preference::tie},
      {"a=b", Preference::tie},     {"b=a", Preference::tie}};
  std::string name = lower(text);
  std::erase(name, ' ');
  const auto found = names.find(name);
  return found == names.end() ? std::nullopt : std::optional(found->second);
}

/// The last [[...]] that is a verdict.
std::optional<Preference> bracketed(std::string_view text) {
  for (size_t end = text.rfind("]]"); end != std::string_view::npos && end > 0;
       end = text.rfind("]]", end - 1)) {
    const size_t begin = text.rfind("[[", end);
    if (begin == std::string_view::npos) return std::nullopt;
    if (const auto verdict = named(text.substr(begin + 2, end - begin - 2))) return verdict;
  }
  return std::nullopt;
}

std::optional<Preference> last_line(std::string_view text) {
  constexpr std::string_view kMarks = " \t\r\n*_`\"'.()#";
  constexpr std::array<std::string_view, 4> kBefore = {"verdict", "answer", "winner", "better"};
  constexpr std::array<std::string_view, 3> kCalled = {"response", "assistant", "answer"};
  text = trimmed(text, kMarks);
  std::string line = lower(text.substr(text.find_last_of('\n') + 1));  // npos + 1 is 0
  if (const size_t colon = line.rfind(':'); colon != std::string::npos) {
    const std::string_view before = trimmed(std::string_view(line).substr(0, colon), kMarks);
    if (std::none_of(kBefore.begin(), kBefore.end(),
                     [&](std::string_view word) { return before.ends_with(word); }))
      return std::nullopt;
    line = line.substr(colon + 1);
  }
  std::string_view name = trimmed(line, kMarks);
  for (const std::string_view word : kCalled) {
    if (name.starts_with(word)) name = trimmed(name.substr(word.size()), kMarks);
  }
  // A lone c is no answer that anyone asked for without brackets.
  return name == "c" ? std::nullopt : named(name);
}

// ---- lists

/// Where the object that begins at `begin` ends; npos when it does not.
size_t object_end(std::string_view text, size_t begin) {
  int64_t depth = 0;
  bool quoted = false;
  for (size_t i = begin; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') ++i;
      if (c == '"') quoted = false;
      continue;
    }
    if (c == '"') quoted = true;
    if (c == '{') ++depth;
    if (c == '}' && --depth == 0) return i + 1;
  }
  return std::string_view::npos;
}

struct Found {
  Json object;
  size_t begin = 0;
};

/// The last object with "scores", else the last one of all.
std::optional<Found> find_object(std::string_view text) {
  constexpr int kTries = 64;
  std::optional<Found> found;
  int tries = 0;
  for (size_t at = text.find('{'); at != std::string_view::npos && tries < kTries; ++tries) {
    const size_t end = object_end(text, at);
    size_t next = at + 1;
    if (end != std::string_view::npos) {
      try {
        Json json = parse_json(text.substr(at, end - at), "verdict");
        if (json.contains("scores") || !found || !found->object.contains("scores"))
          found = Found{std::move(json), at};
        next = end;
      } catch (const Error&) {
        // Braces in prose; what stands inside may still be an object.
      }
    }
    at = text.find('{', next);
  }
  return found;
}

bool ranking_agrees(const Json& ranking, const Json& scores, std::span<const std::string> ids) {
  if (!ranking.is_array() || ranking.size() != ids.size()) return false;
  std::vector<std::string> named;
  double before = std::numeric_limits<double>::infinity();
  for (const Json& id : ranking) {
    if (!id.is_string() || !scores.contains(id.get<std::string>())) return false;
    const double score = scores[id.get<std::string>()].get<double>();
    if (score > before) return false;
    before = score;
    named.push_back(id.get<std::string>());
  }
  return std::is_permutation(named.begin(), named.end(), ids.begin(), ids.end());
}

double sign(double x) { return x > 0 ? 1.0 : x < 0 ? -1.0 : 0.0; }

double order_of(std::span<const double> s, std::span<const double> g) {
  double got = 0, all = 0;
  for (size_t i = 0; i < s.size(); ++i) {
    for (size_t j = i + 1; j < s.size(); ++j) {
      const double weight = std::abs(g[i] - g[j]);
      got += weight * (1.0 + sign(s[i] - s[j]) * sign(g[i] - g[j])) / 2;
      all += weight;
    }
  }
  return all > 0 ? got / all : 0.5;
}

double best_share(std::span<const double> s, std::span<const double> g) {
  const double best_s = *std::max_element(s.begin(), s.end());
  const double best_g = *std::max_element(g.begin(), g.end());
  double best = 0, right = 0;
  for (size_t i = 0; i < s.size(); ++i) {
    if (s[i] != best_s) continue;
    ++best;
    right += g[i] == best_g ? 1 : 0;
  }
  return right / best;
}

}  // namespace

std::optional<Preference> read_verdict(std::string_view reply) {
  const std::string_view answer = after_thinking(reply);
  if (const auto verdict = bracketed(answer)) return verdict;
  return last_line(answer);
}

ListVerdict read_list_verdict(std::string_view reply, std::span<const std::string> ids) {
  ListVerdict out;
  out.scores.resize(ids.size());
  const std::string_view answer = after_thinking(reply);
  std::optional<Found> found = find_object(answer);
  const std::string before = lower(answer.substr(0, found ? found->begin : answer.size()));
  out.reasons =
      answer.size() != reply.size() ||
      !trimmed(std::string_view(before).substr(0, before.rfind("```")), " \t\r\n`").empty();
  if (!found) return out;
  const Json& json = found->object;
  out.parses = true;
  if (json.contains("thoughts") && json["thoughts"].is_string() &&
      !json["thoughts"].get<std::string>().empty())
    out.reasons = true;
  out.has_keys = json.contains("scores") && json["scores"].is_object() && json.contains("ranking");
  if (!json.contains("scores") || !json["scores"].is_object()) return out;
  const Json& scores = json["scores"];
  out.covers = scores.size() == ids.size();
  for (size_t i = 0; i < ids.size(); ++i) {
    const auto score = scores.find(ids[i]);
    if (score != scores.end() && score->is_number()) out.scores[i] = score->get<double>();
    out.covers = out.covers && out.scores[i].has_value();
  }
  out.agrees =
      out.covers && json.contains("ranking") && ranking_agrees(json["ranking"], scores, ids);
  return out;
}

ListAccuracy list_accuracy(std::span<const double> s, std::span<const double> g) {
  GUERDON_CHECK(s.size() == g.size() && !s.empty(), "list_accuracy: ", s.size(), " scores for ",
                g.size(), " gold ones");
  std::vector<double> sorted_s(s.begin(), s.end()), sorted_g(g.begin(), g.end());
  std::sort(sorted_s.begin(), sorted_s.end());
  std::sort(sorted_g.begin(), sorted_g.end());
  ListAccuracy out;
  double spread = 0, off = 0;
  for (size_t i = 0; i < s.size(); ++i) {
    const double error = std::abs(s[i] - g[i]);
    spread += std::abs(sorted_s[i] - sorted_g[i]);
    off += error;
    out.near += error == 0 ? 1.0 : error <= 1 ? 0.5 : 0.0;
  }
  const auto n = static_cast<double>(s.size());
  const auto within = [](double x) { return std::clamp(x, 0.0, 1.0); };
  out.order = order_of(s, g);
  out.distribution = within(1.0 - spread / n / kRange);
  out.near /= n;
  const double tau = math::kendall(s, g);
  out.rank = ((std::isnan(tau) ? 0.0 : tau) + 1) / 4 + best_share(s, g) / 2;
  out.calibration = within(1.0 - off / n / kRange);
  return out;
}

double list_reward(const ListVerdict& verdict, std::span<const double> gold) {
  const double form =
      (verdict.reasons + verdict.parses + verdict.has_keys + verdict.covers + verdict.agrees) / 5.0;
  double accuracy = 0;
  if (verdict.covers) {
    std::vector<double> scores;
    for (const std::optional<double>& score : verdict.scores) scores.push_back(*score);
    accuracy = list_accuracy(scores, gold).total();
  }
  return kFormShare * form + (1.0 - kFormShare) * accuracy;
}

}  // namespace guerdon::rules
