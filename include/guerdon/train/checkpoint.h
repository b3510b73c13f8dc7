/// Checkpoints: folders that are all there or not there, and are never loaded damaged.
///
///     checkpoints/step-000100/
///       model.safetensors, config.json, tokenizer.json, ...   what the algorithm saves
///       state.safetensors                                     the tensors of Parts
///       state.json                                            everything else of Parts
///       manifest.json                                         written last: sizes and SHA-256
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "guerdon/base/file.h"
#include "guerdon/optim/state.h"

namespace guerdon::train {

/// What a checkpoint says of itself.
struct CheckpointInfo {
  int64_t step = 0;
  std::string settings_sha256;
  std::string data_fingerprint;
};

/// Writes checkpoints/step-NNNNNN. The model's files are written at once, by `save_model`, which
/// may refuse them; the state, the hashes and the manifest beside what the caller does next. Only
/// then does the folder get its name. What goes wrong is Error (Kind::surroundings): something
/// cannot be written, or more than nine tenths of the free space are needed. Older checkpoints stay
/// as they are.
class CheckpointWriter {
 public:
  CheckpointWriter() = default;
  /// Waits; what goes wrong then is warned about.
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  /// Call when none is being written. The state's tensors must not change until `finish`: give
  /// copies.
  void begin(const std::filesystem::path& checkpoints, const CheckpointInfo& info,
             optim::State state, const std::function<void(NewFolder&)>& save_model);
  bool is_writing() const { return written_.valid(); }
  /// Whether `finish` would not wait.
  bool is_ready() const;
  /// Waits for the one that is being written, and throws what went wrong with it.
  void finish();

 private:
  std::future<void> written_;
};

/// The same, waited for; the state's tensors are not copied. Returns the checkpoint's folder.
std::filesystem::path write_checkpoint(const std::filesystem::path& checkpoints,
                                       const CheckpointInfo& info, const optim::State& state,
                                       const std::function<void(NewFolder&)>& save_model);

/// The checkpoints of a folder, newest first, intact or not.
std::vector<std::filesystem::path> list_checkpoints(const std::filesystem::path& checkpoints);

/// Compares every file with the manifest. Throws Error (Kind::input) that names the damaged file.
CheckpointInfo verify_checkpoint(const std::filesystem::path& checkpoint);

/// The newest checkpoint that is intact; damaged ones are warned about. nullopt when there is none.
std::optional<std::filesystem::path> newest_intact(const std::filesystem::path& checkpoints);

/// The saved state. The checkpoint should have been verified. Throws Error (Kind::input).
optim::State load_state(const std::filesystem::path& checkpoint);

/// Removes the oldest beyond the `keep` newest, but never the one of step `best`; and what killed
/// runs left half made. Each is renamed before it is deleted. A checkpoint that cannot be removed
/// is warned about.
void prune_checkpoints(const std::filesystem::path& checkpoints, std::optional<int64_t> keep,
                       std::optional<int64_t> best);

/// The model's files of a checkpoint as a folder of their own, by hard links (or copies, on a file
/// system without); an older `target` is replaced.
void link_model(const std::filesystem::path& checkpoint, const std::filesystem::path& target);

/// "step-000100".
std::string checkpoint_name(int64_t step);

}  // namespace guerdon::train
