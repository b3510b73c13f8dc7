#include "cli/recipe.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "guerdon/base/error.h"
#include "guerdon/base/file.h"
#include "guerdon/base/settings.h"
#include "guerdon/base/version.h"

namespace guerdon::cli {
namespace {

namespace fs = std::filesystem;

/// Commands that a recipe may run, with the flags that say where their results go: a flag and a
/// name in the stage's folder,
/// "" for the folder itself.
struct Known {
  std::string command;
  std::vector<std::pair<std::string, std::string>> outputs;
};

const std::vector<Known>& known_commands() {
  static const std::vector<Known> table = {
      {"data make", {{"output", ""}}},
      {"data convert", {{"output", "data.jsonl"}}},
      {"data judge", {{"output", "questions.jsonl"}}},
      {"data strength", {{"output", "data.jsonl"}}},
      {"data split", {{"train", "train.jsonl"}, {"test", "test.jsonl"}}},
      {"tokenizer train", {{"output", ""}}},
      {"model new", {{"output", ""}}},
      {"model average", {{"output", ""}}},
      {"model extrapolate", {{"output", ""}}},
      {"train", {{"output", ""}}},
      {"embed", {{"output", "rows.jsonl"}}},
      {"eval reward", {{"output", "result.json"}}},
      {"eval detect", {{"output", "result.json"}}},
      {"generate", {{"output", "completions.jsonl"}}},
      {"score", {{"output", "scores.jsonl"}}},
      {"logprobs", {{"output", "logprobs.jsonl"}}},
  };
  return table;
}

bool is_training(const std::string& command) { return command.starts_with("train "); }

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> out;
  size_t at = 0;
  while ((at = text.find_first_not_of(' ', at)) != std::string::npos) {
    const size_t end = std::min(text.find(' ', at), text.size());
    out.push_back(text.substr(at, end - at));
    at = end;
  }
  return out;
}

/// What a flag's value looks like on a command line.
std::string flag_text(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

class Reader {
 public:
  Reader(const std::string& file, const RecipeOptions& options) : file_(file), options_(options) {}

  Recipe read(fs::path& output) {
    const Json recipe = read_settings(file_);
    for (const auto& [key, value] : recipe.items()) {
      const std::vector<std::string> known{"title", "output", "stages"};
      if (std::find(known.begin(), known.end(), key) == known.end())
        refuse(key, "no such key of a recipe" + did_you_mean(key, known));
    }
    const std::string name = fs::path(file_).stem().string();
    output_ = options_.output;
    if (output_.empty())
      output_ = recipe.contains("output") ? text(recipe, "output", "output") : "runs/" + name;
    output = output_;
    out_.title = recipe.contains("title") ? text(recipe, "title", "title") : name;
    if (!recipe.contains("stages")) refuse("stages", "is missing (a list of stages is expected)");
    add_all(recipe["stages"], "stages", "", "");
    for (const std::string& argument : options_.overrides) {
      if (!used_overrides_.contains(argument)) {
        const std::string name_part = argument.substr(0, argument.find('.'));
        fail_settings(
            "argument " + show(argument),
            "expected STAGE.KEY=VALUE of a stage of " + file_ + did_you_mean(name_part, names_),
            "stages: " + joined_names());
      }
    }
    if (!options_.data.empty() && !data_used_) {
      fail_settings("flag --data", file_ + " has no place for a data file of yours (\"$data\")");
    }
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse(const std::string& key, const std::string& what) const {
    fail_settings(file_ + ": key " + key, what);
  }

  std::string joined_names() const {
    std::string out;
    for (const std::string& name : names_) out += (out.empty() ? "" : ", ") + name;
    return out;
  }

  std::string text(const Json& object, const std::string& key, const std::string& path) const {
    const auto found = object.find(key);
    if (found == object.end()) refuse(path, "is missing (a text is expected)");
    if (!found->is_string() || found->get<std::string>().empty())
      refuse(path, "a text is expected, got " + show(found->dump()));
    return found->get<std::string>();
  }

  /// `prefix` stands before names and folders ("round-2/"), `dotted` before keys in overrides
  /// ("round.").
  void add_all(const Json& stages, const std::string& path, const std::string& prefix,
               const std::string& dotted) {
    if (!stages.is_array() || stages.empty()) refuse(path, "a list of stages is expected");
    std::set<std::string> here;
    for (size_t i = 0; i < stages.size(); ++i) {
      const std::string at = str(path, "[", i, "]");
      if (!stages[i].is_object()) refuse(at, "an object is expected");
      const std::string name = text(stages[i], "name", at + ".name");
      const bool plain = name.find_first_not_of(
                             "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") ==
                         std::string::npos;
      if (!plain) refuse(at + ".name", "letters, digits, - and _ are expected, got " + show(name));
      if (!here.insert(name).second)
        refuse(at + ".name", "there is an earlier stage of the name " + show(name));
      if (stages[i].contains("stages")) {
        add_group(stages[i], at, name, prefix, dotted);
      } else {
        add(stages[i], at, name, prefix, dotted);
      }
    }
  }

  void add_group(const Json& group, const std::string& at, const std::string& name,
                 const std::string& prefix, const std::string& dotted) {
    for (const auto& [key, value] : group.items()) {
      if (key != "name" && key != "repeat" && key != "stages")
        refuse(at + "." + key, "a repetition has name, repeat and stages");
    }
    int64_t turns = 1;
    if (group.contains("repeat")) {
      if (!group["repeat"].is_number_integer() || group["repeat"] < 1 || group["repeat"] > 1000) {
        refuse(at + ".repeat",
               "a whole number from 1 to 1000 is expected, got " + show(group["repeat"].dump()));
      }
      turns = group["repeat"].get<int64_t>();
    }
    for (int64_t turn = 1; turn <= turns; ++turn) {
      add_all(group["stages"], at + ".stages", str(prefix, name, "-", turn, "/"),
              dotted + name + ".");
    }
  }

  void add(Json stage, const std::string& at, const std::string& name, const std::string& prefix,
           const std::string& dotted) {
    if (!take_data(stage, at)) return;
    const std::string command = text(stage, "command", at + ".command");
    stage.erase("name");
    stage.erase("command");
    apply_overrides(stage, dotted + name);

    Stage out{.name = prefix + name, .command = command, .folder = output_ / (prefix + name)};
    Sha256 hash;
    hash.add(version() + "\n" + command + "\n");
    uses_.clear();
    resolve(stage, at, hash);
    out.uses = uses_;
    hash.add(stage.dump());
    out.key = hash.hex();
    out.arguments = words_of(command);
    set_outputs(out, stage, at);
    if (is_training(command)) {
      out.settings = stage.dump(2) + "\n";
    } else {
      add_flags(out.arguments, stage, at);
    }
    latest_[name] = {out.folder, out.key};
    if (std::find(names_.begin(), names_.end(), dotted + name) == names_.end())
      names_.push_back(dotted + name);
    out_.stages.push_back(std::move(out));
  }

  /// Applies "with_data"; false when the stage is left out.
  bool take_data(Json& stage, const std::string& at) {
    const auto found = stage.find("with_data");
    if (found == stage.end()) return true;
    const Json with = *found;
    stage.erase("with_data");
    data_used_ = true;
    if (with.is_boolean() && !with.get<bool>()) return options_.data.empty();
    if (!with.is_object())
      refuse(at + ".with_data", "false or an object is expected, got " + show(with.dump()));
    if (options_.data.empty()) return true;
    if (with.contains("command")) {
      const Json name = stage["name"];
      stage = Json::object({{"name", name}});
    }
    for (const auto& [key, value] : with.items()) {
      if (value.is_null()) {
        stage.erase(key);
      } else {
        stage[key] = value;
      }
    }
    return true;
  }

  void apply_overrides(Json& stage, const std::string& dotted) {
    std::vector<std::string> own;
    for (const std::string& argument : options_.overrides) {
      if (!argument.starts_with(dotted + ".")) continue;
      own.push_back(argument.substr(dotted.size() + 1));
      used_overrides_.insert(argument);
    }
    override_settings(SettingList(), stage, own);
  }

  /// Puts folders in the place of "@NAME" and the data file in that of "$data"; what they are goes
  /// into the key.
  void resolve(Json& value, const std::string& at, Sha256& hash) {
    if (value.is_object()) {
      for (auto& [key, member] : value.items()) resolve(member, at + "." + key, hash);
    } else if (value.is_array()) {
      for (size_t i = 0; i < value.size(); ++i) resolve(value[i], str(at, "[", i, "]"), hash);
    } else if (value.is_string()) {
      std::string word = value.get<std::string>();
      if (word == "$data") {
        data_used_ = true;
        if (options_.data.empty()) refuse(at, "\"$data\" needs a data file (--data FILE.jsonl)");
        word = options_.data;
      }
      if (word.starts_with("@")) {
        const size_t slash = std::min(word.find('/'), word.size());
        const std::string name = word.substr(1, slash - 1);
        const auto stage = latest_.find(name);
        if (stage == latest_.end()) {
          std::vector<std::string> earlier;
          for (const auto& [known, result] : latest_) earlier.push_back(known);
          refuse(at, "there is no earlier stage " + show(name) + did_you_mean(name, earlier));
        }
        hash.add(stage->second.key);
        // "folder/" of a bare "@NAME" reads worse than "folder".
        const fs::path result = slash == word.size()
                                    ? stage->second.folder
                                    : stage->second.folder / word.substr(slash + 1);
        uses_.push_back(result);
        value = result.string();
        return;
      }
      std::error_code none;
      if (fs::is_regular_file(word, none)) {
        hash.add(sha256_file(word));
      } else if (fs::is_directory(word, none)) {
        hash.add(folder_state(word));
      }
      value = word;
    }
  }

  /// Names, sizes and times of a folder's files: what a model folder of the user's is known by.
  static std::string folder_state(const fs::path& folder) {
    std::set<std::string> files;
    std::error_code none;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(
             folder, fs::directory_options::skip_permission_denied, none)) {
      if (!entry.is_regular_file(none)) continue;
      files.insert(str(entry.path().string(), " ", entry.file_size(none), " ",
                       entry.last_write_time(none).time_since_epoch().count(), "\n"));
    }
    std::string out;
    for (const std::string& file : files) out += file;
    return out;
  }

  void set_outputs(Stage& out, Json& stage, const std::string& at) const {
    const std::vector<Known>& table = known_commands();
    const auto known = std::find_if(table.begin(), table.end(), [&](const Known& k) {
      return k.command == out.command || (k.command == "train" && is_training(out.command));
    });
    if (known == table.end()) {
      std::vector<std::string> commands;
      for (const Known& k : table)
        commands.push_back(k.command == "train" ? "train sft" : k.command);
      refuse(at + ".command",
             "a recipe does not run " + show(out.command) + did_you_mean(out.command, commands));
    }
    if (is_training(out.command)) {
      out.arguments.insert(out.arguments.end(), {"--output", out.folder.string()});
      return;
    }
    for (const auto& [flag, name] : known->outputs) {
      const bool chosen = stage.contains(flag);
      const std::string file = chosen ? text(stage, flag, at + "." + flag) : name;
      stage[flag] = (file.empty() ? out.folder : out.folder / file).string();
    }
  }

  void add_flags(std::vector<std::string>& arguments, const Json& stage,
                 const std::string& at) const {
    for (const auto& [key, value] : stage.items()) {
      std::string flag = "--" + key;
      std::replace(flag.begin(), flag.end(), '_', '-');
      if (value.is_boolean()) {
        if (value.get<bool>()) arguments.push_back(flag);
      } else if (value.is_array()) {
        for (const Json& item : value) arguments.insert(arguments.end(), {flag, flag_text(item)});
      } else if (value.is_null()) {
        refuse(at + "." + key, "a value is expected");
      } else {
        // In one word, so that a negative number is not taken for a flag.
        arguments.push_back(flag + "=" + flag_text(value));
      }
    }
  }

  struct Result {
    fs::path folder;
    std::string key;
  };

  const std::string file_;
  const RecipeOptions& options_;
  fs::path output_;
  Recipe out_;
  std::map<std::string, Result> latest_;
  std::vector<std::string> names_;
  std::set<std::string> used_overrides_;
  std::vector<fs::path> uses_;  // of the stage that is being read
  bool data_used_ = false;
};

}  // namespace

Recipe read_recipe(const std::string& file, const RecipeOptions& options, fs::path& output) {
  return Reader(file, options).read(output);
}

}  // namespace guerdon::cli
