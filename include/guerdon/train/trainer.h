/// From the name of a method and its settings to a finished run: what `guerdon train`, recipes and
/// programs call.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "guerdon/base/settings.h"
#include "guerdon/train/loop.h"

namespace guerdon::train {

/// A method with settings of its own, before anything is loaded.
class Trainer {
 public:
  virtual ~Trainer() = default;
  /// All settings, referring to this object.
  virtual SettingList settings() = 0;
  virtual TrainSettings& common() = 0;
  /// Loads models and data. `where` names the settings in errors; `run` is for samples. The
  /// algorithm refers to this object.
  virtual std::unique_ptr<Algorithm> build(const std::string& where, RunFolder& run) = 0;
};

/// The trainer of a struct of settings whose member `train` holds the common ones.
template <class Settings>
class TrainerOf final : public Trainer {
 public:
  using Build = std::unique_ptr<Algorithm> (*)(const Settings&, const std::string& where,
                                               RunFolder& run);
  explicit TrainerOf(Build build) : build_(build) {}
  SettingList settings() override { return settings_of(settings_); }
  TrainSettings& common() override { return settings_.train; }
  std::unique_ptr<Algorithm> build(const std::string& where, RunFolder& run) override {
    return build_(settings_, where, run);
  }

 private:
  Settings settings_;
  Build build_;
};

struct Method {
  std::string name;  ///< "dpo"
  std::string help;
  std::unique_ptr<Trainer> (*make)();
};

/// All methods.
std::span<const Method> methods();
/// Throws Error (Kind::settings) with the nearest name.
const Method& method(const std::string& name);

struct TrainRequest {
  std::string method;
  std::string where = "settings";  ///< what errors call the settings: the file's name
  std::filesystem::path output;    ///< overrides output_dir
  bool resume = false;
  std::optional<std::filesystem::path> resume_from;
  ProgressSink progress;
  /// Called once the run folder is ours: a program sends its log to run.log_file() from then on.
  std::function<void(const RunFolder&)> opened;
};

/// Checks the settings (an object, as a settings file has it), opens the run folder, loads, trains.
TrainResult run_training(const Json& settings, const TrainRequest& request);

/// The same for a list of settings with their values.
TrainResult run_training(const SettingList& settings, const TrainRequest& request);
/// The same for a method's struct (RewardSettings, GrpoSettings, ...), as a program fills it in.
template <class Settings>
requires requires(SettingList& list, Settings& settings) { describe(list, settings); }
TrainResult run_training(Settings settings, const TrainRequest& request) {
  return run_training(settings_of(settings), request);
}

/// A settings file with every setting of a method, its help as comments: it can be run once the
/// model and the data are filled in.
std::string settings_template(const std::string& method);

}  // namespace guerdon::train
