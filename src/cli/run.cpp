/// `guerdon run`: the stages of a recipe, each as a process of its own, and one report about all of
/// them.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/recipe.h"
#include "guerdon/base/error.h"
#include "guerdon/base/file.h"
#include "guerdon/base/log.h"
#include "guerdon/base/signals.h"
#include "guerdon/report/run_report.h"

namespace guerdon::cli {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

struct Arguments {
  std::string recipe, output, data;
  std::vector<std::string> overrides;
  bool list = false, dry_run = false;
};

struct Ended {
  int code = 0;  ///< exit code; 128 + the signal that ended it
  std::string output;
};

/// Runs this program with `arguments`. Its standard error is ours; its standard output is kept. A
/// request to stop is passed on, and waited for: the stage writes its checkpoint.
Ended run_stage(const std::vector<std::string>& arguments) {
  std::vector<std::string> words{"guerdon"};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  argv.push_back(nullptr);

  int pipe[2];
  if (::pipe2(pipe, O_CLOEXEC) != 0)
    fail_surroundings("recipe", std::string("no pipe: ") + std::strerror(errno));
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) fail_surroundings("recipe", std::string("no process: ") + std::strerror(errno));
  if (child == 0) {
    // A driver that is killed takes its stage along: nobody would record what it did.
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent) ::_exit(1);
    // In a group of its own, so that a terminal's signal reaches it once, through us.
    ::setpgid(0, 0);
    ::signal(SIGINT, SIG_DFL);
    ::signal(SIGTERM, SIG_DFL);
    ::signal(SIGPIPE, SIG_DFL);
    ::dup2(pipe[1], STDOUT_FILENO);
    ::execv("/proc/self/exe", argv.data());
    ::_exit(127);
  }
  ::close(pipe[1]);

  Ended ended;
  bool told = false;
  for (bool open = true; open;) {
    pollfd waiting{pipe[0], POLLIN, 0};
    if (::poll(&waiting, 1, 200) > 0) {
      char buffer[4096];
      const ssize_t count = ::read(pipe[0], buffer, sizeof buffer);
      if (count > 0 && ended.output.size() < (size_t{1} << 20))
        ended.output.append(buffer, static_cast<size_t>(count));
      open = count > 0 || (count < 0 && errno == EINTR);
    }
    if (stop_signal() != 0 && !told) {
      ::kill(child, stop_signal());
      told = true;
    }
  }
  ::close(pipe[0]);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  ended.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return ended;
}

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f %%", 100 * share);
  return text;
}

std::string decimals(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", value);
  return text;
}

/// The main result of a stage in a line: from result.json, from the metrics that `train` prints, or
/// the last line that it said.
std::string note_of(const Stage& stage, const std::string& output) {
  const auto number = [](const Json& object, const char* key) -> std::optional<double> {
    if (!object.is_object() || !object.contains(key) || !object[key].is_number())
      return std::nullopt;
    return object[key].get<double>();
  };
  try {
    if (stage.command == "eval reward") {
      const Json result = read_json(stage.folder / "result.json");
      std::string out = "accuracy " + percent(number(result, "accuracy").value_or(NAN));
      if (const auto best = number(result, "best_accuracy"))
        out += " (best possible " + percent(*best) + ")";
      if (const auto pairs = number(result, "pairs")) out += str(" of ", *pairs, " pairs");
      if (const auto ece = number(result, "ece")) out += ", ECE " + decimals(*ece);
      return out;
    }
    const size_t end = output.find_last_not_of('\n');
    if (end == std::string::npos) return {};
    const size_t start = output.rfind('\n', end);
    const std::string last = output.substr(start == std::string::npos ? 0 : start + 1,
                                           end - (start == std::string::npos ? 0 : start + 1) + 1);
    if (!stage.command.starts_with("train ")) return stage.command == "data make" ? "" : last;
    const Json result = parse_json(last, stage.name);
    std::string out = str(number(result, "step").value_or(0), " steps");
    if (result.contains("metrics")) {
      size_t told = 0;
      for (const char* key :
           {"reward", "rewards/truth/mean", "kl", "eval_accuracy", "accuracy",
            "eval_rewards/accuracies", "rewards/accuracies", "eval_loss", "loss"}) {
        const auto value = number(result["metrics"], key);
        if (!value || told == 3) continue;
        out += std::string(", ") + key + " " + decimals(*value);
        ++told;
      }
    }
    return out;
  } catch (const Error&) {
    return {};  // a stage without a result that can be told in a line
  }
}

/// What is known of the stages, kept in stages.json after every change.
class Record {
 public:
  Record(const fs::path& folder, const Recipe& recipe, const std::string& file)
      : file_(folder / "stages.json") {
    Json before;
    std::error_code none;
    if (fs::is_regular_file(file_, none)) {
      try {
        before = read_json(file_);
      } catch (const Error& e) {
        log::warning(str(e.what(), "; every stage runs again"));
      }
    }
    json_ = {{"title", recipe.title}, {"recipe", file}, {"stages", Json::array()}};
    for (const Stage& stage : recipe.stages) {
      Json entry{{"name", stage.name},  {"command", stage.command},
                 {"status", "waiting"}, {"seconds", 0.0},
                 {"note", ""},          {"folder", fs::proximate(stage.folder, folder).string()},
                 {"key", stage.key}};
      const Json* old = find(before, stage.name);
      ours_.push_back(old != nullptr);
      if (old && old->value("key", "") == stage.key) {
        entry["status"] = old->value("status", "waiting");
        entry["seconds"] = old->value("seconds", 0.0);
        entry["note"] = old->value("note", "");
      }
      json_["stages"].push_back(std::move(entry));
    }
  }

  /// Whether an earlier run of this recipe made the stage's folder.
  bool is_ours(size_t i) const { return ours_[i]; }
  std::string status(size_t i) const { return json_["stages"][i]["status"].get<std::string>(); }
  double seconds(size_t i) const { return json_["stages"][i]["seconds"].get<double>(); }
  std::string note(size_t i) const { return json_["stages"][i]["note"].get<std::string>(); }

  void set(size_t i, const std::string& status, double seconds, const std::string& note) {
    Json& entry = json_["stages"][i];
    entry["status"] = status;
    entry["seconds"] = seconds;
    entry["note"] = note;
    write_file(file_, json_.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
  }

 private:
  static const Json* find(const Json& record, const std::string& name) {
    if (!record.is_object() || !record.contains("stages") || !record["stages"].is_array())
      return nullptr;
    for (const Json& stage : record["stages"]) {
      if (stage.is_object() && stage.contains("name") && stage["name"] == name) return &stage;
    }
    return nullptr;
  }

  fs::path file_;
  Json json_;
  std::vector<bool> ours_;
};

std::string summary(const Recipe& recipe, const Record& record) {
  size_t name = 5, command = 7;
  for (const Stage& stage : recipe.stages) {
    name = std::max(name, stage.name.size());
    command = std::max(command, stage.command.size());
  }
  const auto cell = [](const std::string& text, size_t width) {
    return text + std::string(width > text.size() ? width - text.size() + 2 : 2, ' ');
  };
  std::string out = cell("stage", name) + cell("command", command) + cell("status", 11) +
                    cell("seconds", 7) + "result\n";
  for (size_t i = 0; i < recipe.stages.size(); ++i) {
    char seconds[32];
    std::snprintf(seconds, sizeof seconds, "%7.1f", record.seconds(i));
    out += cell(recipe.stages[i].name, name) + cell(recipe.stages[i].command, command) +
           cell(record.status(i), 11) + cell(seconds, 7) + record.note(i) + "\n";
  }
  return out;
}

void write_report(const fs::path& folder) {
  const fs::path file = folder / "report.html";
  write_file(file, report::run_report(folder));
  log::info("report: " + file.string());
}

/// A stage that was cut off goes on from its checkpoint; of any other nothing is kept.
bool can_resume(const Stage& stage, const std::string& status) {
  std::error_code none;
  return stage.command.starts_with("train ") &&
         (status == "interrupted" || status == "running" || status == "failed") &&
         fs::is_directory(stage.folder / "checkpoints", none) &&
         !fs::is_empty(stage.folder / "checkpoints", none);
}

/// Each stage as far as it can be checked: a training whose inputs are there in full, one that
/// waits for an earlier stage by its settings alone. Nothing is written below the output folder.
void dry_run(const Arguments& arguments, const Recipe& recipe) {
  const ScratchFolder scratch;
  std::error_code none;
  std::string out;
  for (size_t i = 0; i < recipe.stages.size(); ++i) {
    const Stage& stage = recipe.stages[i];
    out += str("[", i + 1, "/", recipe.stages.size(), "] ", stage.name, ": ", stage.command);
    if (stage.settings.empty()) {
      out += ": its flags are checked when it runs\n";
      continue;
    }
    std::string waits;
    for (const fs::path& use : stage.uses) {
      if (fs::exists(use, none)) continue;
      waits += (waits.empty() ? "" : ", ") + use.string();
    }
    const fs::path settings = scratch.path() / (stage.name + ".json");
    write_file(settings, stage.settings);
    const std::string method = stage.command.substr(std::string("train ").size());
    std::vector<std::string> words;
    if (waits.empty()) {
      words = stage.arguments;
      // What an earlier attempt left there is the run's to judge, not this check's.
      const bool begun = fs::exists(stage.folder, none);
      if (begun) words.back() = (stage.folder / "again").string();
      words.insert(words.end(), {"--dry-run", "--config", settings.string()});
    } else {
      words = {"explain", method, "--config", settings.string()};
    }
    const Ended ended = run_stage(words);
    if (ended.code != 0) {
      write_standard_output(out + ": refused\n");
      const bool ours = ended.code >= 1 && ended.code <= 5;
      throw Error(ours ? static_cast<Kind>(ended.code) : Kind::surroundings, arguments.recipe,
                  "stage " + stage.name + " would fail; its error stands above");
    }
    if (waits.empty()) {
      out += "\n";
      for (size_t at = 0; at < ended.output.size();) {
        const size_t end = std::min(ended.output.find('\n', at), ended.output.size());
        out += "  " + ended.output.substr(at, end - at) + "\n";
        at = end + 1;
      }
    } else {
      out += ": settings are right; the rest waits for " + waits + "\n";
    }
  }
  write_standard_output(out);
}

void run(const Arguments& arguments) {
  fs::path output;
  const Recipe recipe = read_recipe(
      arguments.recipe, {arguments.output, arguments.data, arguments.overrides}, output);
  if (arguments.list) {
    for (const Stage& stage : recipe.stages) {
      std::string line = stage.name + ": guerdon";
      for (const std::string& word : stage.arguments) line += " " + word;
      write_standard_output(line + "\n" + stage.settings);
    }
    return;
  }
  if (arguments.dry_run) {
    dry_run(arguments, recipe);
    return;
  }
  fs::create_directories(output);
  const FileLock lock(output / "lock");
  const StopSignals signals;
  Record record(output, recipe, arguments.recipe);
  Ended ended;
  for (size_t i = 0; i < recipe.stages.size() && ended.code == 0 && stop_signal() == 0; ++i) {
    const Stage& stage = recipe.stages[i];
    const std::string place = str("[", i + 1, "/", recipe.stages.size(), "] ", stage.name, ": ");
    const std::string before = record.status(i);
    if (before == "finished") {
      log::info(place + "finished before, with the same settings and inputs");
      continue;
    }
    log::info(place + stage.command);
    std::vector<std::string> words = stage.arguments;
    const bool resume = can_resume(stage, before);
    if (!resume && fs::exists(stage.folder)) {
      if (!record.is_ours(i) && !fs::is_empty(stage.folder)) {
        fail_settings(stage.folder.string(), "holds files that this recipe did not make",
                      "--output another folder");
      }
      fs::remove_all(stage.folder);
    }
    fs::create_directories(stage.folder);
    if (!stage.settings.empty()) {
      const fs::path settings = output / "settings" / (stage.name + ".json");
      write_file(settings, stage.settings);
      words.insert(words.end(), {"--config", settings.string()});
      if (resume) words.push_back("--resume");
    }
    const double earlier = resume ? record.seconds(i) : 0.0;
    record.set(i, "running", earlier, "");
    const Clock::time_point begun = Clock::now();
    ended = run_stage(words);
    const double seconds = earlier + std::chrono::duration<double>(Clock::now() - begun).count();
    const bool stopped = ended.code == 128 + SIGINT || ended.code == 128 + SIGTERM;
    record.set(i,
               ended.code == 0 ? "finished"
               : stopped       ? "interrupted"
                               : "failed",
               seconds,
               ended.code == 0 ? note_of(stage, ended.output) : str("exit code ", ended.code));
  }
  write_report(output);
  write_standard_output(summary(recipe, record));
  if (ended.code == 128 + SIGINT || ended.code == 128 + SIGTERM) {
    request_stop(ended.code - 128);
  } else if (ended.code != 0) {
    const bool ours = ended.code >= 1 && ended.code <= 5;
    throw Error(ours ? static_cast<Kind>(ended.code) : Kind::surroundings, arguments.recipe,
                ended.code > 128 ? str("a stage was ended by signal ", ended.code - 128)
                                 : "a stage failed; its error stands above",
                ended.code == 128 + SIGKILL
                    ? "memory may have run out: guerdon plan tells what a stage needs"
                    : "the same command goes on where it stopped");
  }
}

}  // namespace

void add_run(CLI::App& program) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = add_command(
      program, "run",
      "guerdon run configs/recipes/quickstart.json --output runs/quickstart grpo.beta=0.1");
  command->add_option("RECIPE", arguments->recipe, "JSON with comments: the stages, in order")
      ->required();
  command->add_option("SETTINGS", arguments->overrides, "STAGE.KEY=VALUE, over those of the file");
  command->add_option("-o,--output", arguments->output,
                      "Folder for all stages (default: the recipe's, or runs/NAME)");
  command->add_option("--data", arguments->data,
                      "Preference pairs of yours, for recipes that have a place for them");
  command->add_flag("--list", arguments->list,
                    "Print the commands with their settings, and run nothing");
  command->add_flag("--dry-run", arguments->dry_run,
                    "Check every stage as far as its inputs are there, and run nothing");
  command->callback([arguments] { run(*arguments); });
}

}  // namespace guerdon::cli
