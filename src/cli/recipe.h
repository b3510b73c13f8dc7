/// Recipes: several commands, one after the other, of which later ones use the results of earlier
/// ones.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "guerdon/base/json_reader.h"

namespace guerdon::cli {

/// One command of a recipe, ready to run.
struct Stage {
  std::string name;     ///< "grpo", or "round-2/dpo" within a repetition
  std::string command;  ///< "train grpo"
  std::filesystem::path folder;
  std::vector<std::string> arguments;       ///< of `guerdon`
  std::string settings;                     ///< for train: what --config reads, as JSON; else ""
  std::string key;                          ///< hash of all that its result depends on
  std::vector<std::filesystem::path> uses;  ///< results of earlier stages that it names
};

/// A recipe file:
///
///     { "title": "...", "stages": [
///       { "name": "sft", "command": "train sft", ...settings of the command... },
///       { "name": "rm", "command": "train reward", "model_name_or_path": "@sft", ... },
///       { "name": "round", "repeat": 3, "stages": [ ... ] } ] }
///
/// - The settings of `train METHOD` are those of its configuration; those of another command are
/// its flags, "max_new_tokens"
///   for --max-new-tokens.
/// - "@NAME" at the beginning of a text is the folder of the latest earlier stage NAME,
/// "@NAME/FILE" a file in it.
/// - "$data" is the file of --data. A stage's "with_data" applies only with --data: false leaves
/// the stage out, an object
///   replaces settings (null removes one), and with a "command" of its own the whole stage.
/// - "repeat": n runs the stages inside n times, as round-1/..., round-2/...
struct Recipe {
  std::string title;
  std::vector<Stage> stages;
};

struct RecipeOptions {
  std::filesystem::path output;  ///< empty: "output" of the file, else runs/NAME
  std::string data;              ///< --data
  std::vector<std::string>
      overrides;  ///< "STAGE.KEY=VALUE"; "round.dpo.beta=0.2" within a repetition
};

/// The recipe of a file, and where its results go. Files that stages name and that are there count
/// into the stages' keys, with their content; results of earlier stages with the keys of those.
/// Throws Error (Kind::settings) with "FILE: key stages[1].x".
Recipe read_recipe(const std::string& file, const RecipeOptions& options,
                   std::filesystem::path& output);

}  // namespace guerdon::cli
