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
#include "guerdon/train/explain.h"
#include "guerdon/train/loop.h"
#include "guerdon/train/memory.h"
#include "guerdon/train/preview.h"

namespace guerdon::train {

/// A method with settings of its own, before anything is loaded.
class Trainer {
 public:
  virtual ~Trainer() = default;
  /// All settings, referring to this object.
  virtual SettingList settings() = 0;
  virtual TrainSettings& common() = 0;
  /// Whether model_name_or_path must be given.
  virtual bool needs_model() const = 0;
  /// Formula, signs and denominators under the present settings. Throws Error (Kind::settings) for
  /// what cannot be meant together.
  virtual Explanation explanation(const std::string& where) = 0;
  /// What a run would hold and read. Throws Error (Kind::settings, Kind::input).
  virtual Preview preview(const std::string& where, const PreviewOptions& options) = 0;
  /// Loads models and data. `where` names the settings in errors; `run` is for samples. The
  /// algorithm refers to this object.
  virtual std::unique_ptr<Algorithm> build(const std::string& where, RunFolder& run) = 0;
};

/// The trainer of a struct of settings whose member `train` holds the common ones; describe(),
/// explanation_of() and preview_of() stand beside it. A method that may begin with nothing has a
/// `kNeedsModel` of false in it.
template <class Settings>
class TrainerOf final : public Trainer {
 public:
  using Build = std::unique_ptr<Algorithm> (*)(const Settings&, const std::string& where,
                                               RunFolder& run);
  explicit TrainerOf(Build build) : build_(build) {}
  SettingList settings() override { return settings_of(settings_); }
  TrainSettings& common() override { return settings_.train; }
  bool needs_model() const override {
    if constexpr (requires { Settings::kNeedsModel; }) return Settings::kNeedsModel;
    return true;
  }
  Explanation explanation(const std::string& where) override {
    return explanation_of(settings_, where);
  }
  Preview preview(const std::string& where, const PreviewOptions& options) override {
    return preview_of(settings_, where, options);
  }
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

/// The trainer of a method with these settings (an object, as a settings file has it; `where` names
/// them in errors). What a single setting can have wrong is refused: Error (Kind::settings).
std::unique_ptr<Trainer> trainer_of(const std::string& method, const Json& settings,
                                    const std::string& where);

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

/// What --dry-run and `guerdon plan` find.
struct Forecast {
  Preview preview;
  MemoryPlan memory;
  int64_t process_bytes = 0;  ///< program, libraries, tokenizer, as of now
};
/// Checks settings, models and first rows; nothing is written, no weight of the trained model is
/// read.
Forecast forecast(Trainer& trainer, const std::string& where, const PreviewOptions& options);

/// All that run_training can refuse before its first step: settings, folder of the run, models,
/// first rows, rewards (which are built), memory. Writes nothing. Throws as run_training does, and
/// Error (Kind::surroundings) when the predicted peak is more than the machine's memory.
Forecast dry_run(const Json& settings, const TrainRequest& request);

/// A settings file with every setting of a method, its help as comments: it can be run once the
/// model and the data are filled in.
std::string settings_template(const std::string& method);

}  // namespace guerdon::train
