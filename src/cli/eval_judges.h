/// What the commands on items have in common: the judges, which are rewards or given scores.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/judging.h"
#include "guerdon/eval/judge.h"
#include "guerdon/eval/suite.h"

namespace guerdon::cli {

struct JudgeArguments {
  std::vector<std::string> models, data, scores;
  eval::ItemOptions items;
  JudgingArguments judging;

  void add_to(CLI::App* command);

  using Read = std::function<std::vector<eval::Item>(const std::string& file)>;
  /// The rows of the data with the scores of --scores; without data, the rows of the first file of
  /// scores. Refuses arguments without a judge, or with a model and nothing to judge.
  std::vector<eval::Item> read(const Read& read) const;
  /// The judgements of the models, then those given. nullopt when the user stopped it.
  std::optional<std::vector<eval::Judgement>> judge(std::span<const eval::Item> items) const;
};

/// A file's name without folder and endings: what a judge without a name is called.
std::string name_of_file(const std::string& file);

/// The scores of a judge without a name become those of `name`.
template <class Value>
void name_judge(std::map<std::string, Value>& scores, const std::string& name) {
  if (auto unnamed = scores.extract(""); !unnamed.empty()) {
    unnamed.key() = name;
    scores.insert(std::move(unnamed));
  }
}

/// Scores of the items by a model, under progress. nullopt when the user stopped it.
std::optional<eval::Judgement> judged(const std::string& model, const JudgingArguments& judging,
                                      std::span<const eval::Item> items);

}  // namespace guerdon::cli
