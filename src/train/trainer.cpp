#include "guerdon/train/trainer.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"
#include "guerdon/base/file.h"
#include "guerdon/base/log.h"
#include "guerdon/report/run_report.h"
#include "guerdon/train/dpo.h"
#include "guerdon/train/features.h"
#include "guerdon/train/grpo.h"
#include "guerdon/train/reward.h"
#include "guerdon/train/sft.h"
#include "train/trl_names.h"

namespace guerdon::train {
namespace fs = std::filesystem;
namespace {

template <class Settings,
          std::unique_ptr<Algorithm> (*build)(const Settings&, const std::string&, RunFolder&)>
std::unique_ptr<Trainer> make() {
  return std::make_unique<TrainerOf<Settings>>(build);
}

void refuse_trl_names(const SettingList& list, const Json& settings, const std::string& where) {
  if (!settings.is_object()) return;  // apply_settings says so
  for (const auto& [key, value] : settings.items()) {
    const std::string advice = trl_advice(key);
    if (!advice.empty() && !list.find(key)) {
      fail_settings(where, "key " + key + ": is a setting of TRL that guerdon does not have",
                    advice);
    }
  }
}

/// What a resumed run may change without a word: how it is watched and kept, not what it learns.
bool is_about_watching(const std::string& path) {
  for (const char* name : {"output_dir", "logging_steps", "save_", "checkpoint.", "report.",
                           "data.allow_changed", "micro_batch_tokens"}) {
    if (path.starts_with(name)) return true;
  }
  return false;
}

/// A run that goes on under other settings is another run: refused unless it was asked for.
void check_unchanged(const SettingList& list, const fs::path& config_file,
                     const TrainSettings& common, const std::string& where) {
  if (!fs::exists(config_file)) return;
  const Json before = read_json(config_file);
  for (const Setting& setting : list.all()) {
    const Json* old = &before;
    for (size_t at = 0; old && at <= setting.path.size();) {
      const size_t end = std::min(setting.path.find('.', at), setting.path.size());
      const auto found = old->find(setting.path.substr(at, end - at));
      old = found == old->end() ? nullptr : &*found;
      at = end + 1;
    }
    const Json now = setting_value(setting);
    if (!old || *old == now || is_about_watching(setting.path)) continue;
    const std::string what = "was " + old->dump() + " when the run began, and is " + now.dump();
    if (!common.checkpoint.allow_changed) {
      fail_settings(where, "key " + setting.path + ": " + what,
                    "checkpoint.allow_changed=true resumes all the same");
    }
    log::info("key " + setting.path + ": " + what);
  }
}

/// The run's folder, put into the settings too.
fs::path output_of(TrainSettings& common, const TrainRequest& request) {
  if (!request.output.empty()) common.output_dir = request.output.string();
  if (common.output_dir.empty()) {
    fail_settings(request.where, "key output_dir: is missing (the run's folder; or --output)");
  }
  return common.output_dir;
}

/// report.html, however the run ends.
class ReportAtEnd {
 public:
  explicit ReportAtEnd(const RunFolder& run) : run_(run) {}
  ~ReportAtEnd() {
    try {
      write_file(run_.path() / "report.html", report::run_report(run_.path()));
    } catch (const std::exception& e) {
      log::warning(std::string("no report: ") + e.what());
    }
  }
  ReportAtEnd(const ReportAtEnd&) = delete;
  ReportAtEnd& operator=(const ReportAtEnd&) = delete;

 private:
  const RunFolder& run_;
};

}  // namespace

std::span<const Method> methods() {
  static const Method all[] = {
      {"sft", "Supervised fine-tuning of a language model", make<SftSettings, make_sft>},
      {"reward", "A reward model from preference pairs (Bradley-Terry), ranked lists or ratings",
       make<RewardSettings, make_reward>},
      {"features", "A reward model on stored vectors, from preference pairs",
       make<FeatureSettings, make_features>},
      {"dpo", "Direct preference optimisation and its relatives", make<DpoSettings, make_dpo>},
      {"grpo", "Group relative policy optimisation against rewards", make<GrpoSettings, make_grpo>},
  };
  return all;
}

const Method& method(const std::string& name) {
  std::vector<std::string> names;
  for (const Method& m : methods()) {
    if (m.name == name) return m;
    names.push_back(m.name);
  }
  std::string known;
  for (const std::string& n : names) known += (known.empty() ? "" : ", ") + n;
  fail_settings("train", "no method is called " + show(name) + did_you_mean(name, names) +
                             "; there are " + known);
}

std::unique_ptr<Trainer> trainer_of(const std::string& name, const Json& settings,
                                    const std::string& where) {
  std::unique_ptr<Trainer> trainer = method(name).make();
  const SettingList list = trainer->settings();
  refuse_trl_names(list, settings, where);
  apply_settings(list, settings, where);
  return trainer;
}

Forecast forecast(Trainer& trainer, const std::string& where, const PreviewOptions& options) {
  check_train_settings(trainer.common(), where, trainer.needs_model());
  Forecast out{.preview = trainer.preview(where, options), .memory = {}, .process_bytes = 0};
  out.process_bytes = peak_of_process();
  out.memory = memory_plan(trainer.common(), out.preview, {.process_bytes = out.process_bytes});
  return out;
}

Forecast dry_run(const Json& settings, const TrainRequest& request) {
  const std::unique_ptr<Trainer> trainer = trainer_of(request.method, settings, request.where);
  TrainSettings& common = trainer->common();
  const fs::path output = output_of(common, request);
  const bool resume = request.resume || request.resume_from.has_value();
  RunFolder::check(output, resume);
  if (resume) check_unchanged(trainer->settings(), output / "config.json", common, request.where);
  Forecast out = forecast(*trainer, request.where, {.rows = 100, .build_rewards = true});
  const int64_t peak = out.memory.peak().total(), memory = machine_memory();
  if (peak > memory) {
    const int64_t fits = largest_batch(common, out.preview, out.process_bytes, memory);
    fail_surroundings("memory",
                      str("the run needs about ", memory_text(peak), " (", out.memory.peak().name,
                          "), this machine has ", memory_text(memory)),
                      fits > 0 ? str("per_device_train_batch_size=", fits,
                                     " fits; gradient_accumulation_steps makes up for it")
                               : "no batch fits; gradient_checkpointing=true, lora.r or a smaller "
                                 "model need less");
  }
  return out;
}

TrainResult run_training(const Json& settings, const TrainRequest& request) {
  const std::unique_ptr<Trainer> trainer = trainer_of(request.method, settings, request.where);
  const SettingList list = trainer->settings();
  TrainSettings& common = trainer->common();
  const fs::path output = output_of(common, request);
  check_train_settings(common, request.where, trainer->needs_model());

  const bool resume = request.resume || request.resume_from.has_value();
  RunFolder run(output, resume);
  if (request.opened) request.opened(run);
  if (resume) check_unchanged(list, run.path() / "config.json", common, request.where);
  const Json resolved = settings_json(list);
  run.write_config(resolved);
  const std::unique_ptr<Algorithm> algorithm = trainer->build(request.where, run);
  const ReportAtEnd report(run);
  return train(*algorithm, common, run,
               {.command = "train " + request.method,
                .settings_sha256 = sha256(resolved.dump()),
                .resume = resume,
                .resume_from = request.resume_from,
                .progress = request.progress});
}

TrainResult run_training(const SettingList& settings, const TrainRequest& request) {
  return run_training(settings_json(settings), request);
}

std::string settings_template(const std::string& name) {
  const std::unique_ptr<Trainer> trainer = method(name).make();
  const SettingList list = trainer->settings();
  std::string out = "// guerdon train " + name + ": " + method(name).help + ".\n{\n";
  // Groups are written where their first setting stands, with all that belongs to them.
  const auto group_of = [](const Setting& setting) {
    const size_t dot = setting.path.rfind('.');
    return dot == std::string::npos ? std::string() : setting.path.substr(0, dot);
  };
  std::vector<Setting> ordered;
  for (const Setting& setting : list.all()) {
    const auto same = std::find_if(ordered.rbegin(), ordered.rend(), [&](const Setting& s) {
      return !group_of(setting).empty() && group_of(s) == group_of(setting);
    });
    ordered.insert(same == ordered.rend() ? ordered.end() : same.base(), setting);
  }
  std::string open;
  bool first_in_group = true, first = true;
  for (const Setting& setting : ordered) {
    const size_t dot = setting.path.rfind('.');
    const std::string group = group_of(setting);
    if (group != open) {
      if (!open.empty()) out += "\n  }";
      if (!group.empty()) {
        out += std::string(first ? "" : ",\n") + "  " + json_string(group) + ": {\n";
        first_in_group = true;
      }
      open = group;
    }
    const bool begins = group.empty() ? first : first_in_group;
    if (!begins) out += ",\n";
    first = first_in_group = false;
    const std::string indent = group.empty() ? "  " : "    ";
    out += indent + "// " + setting_help(setting) + "\n" + indent +
           json_string(setting.path.substr(dot + 1)) + ": " + setting_value(setting).dump();
  }
  if (!open.empty()) out += "\n  }";
  return out + "\n}\n";
}

}  // namespace guerdon::train
