#include "guerdon/train/checkpoint.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/manifest.h"
#include "guerdon/base/error.h"
#include "guerdon/base/log.h"
#include "guerdon/base/version.h"

namespace guerdon::train {
namespace fs = std::filesystem;
namespace {

constexpr int kFormat = 1;
constexpr const char* kManifest = "manifest.json";
constexpr const char* kTensors = "state.safetensors";
constexpr const char* kState = "state.json";

// How much of the free space one checkpoint may take.
constexpr double kShareOfFreeSpace = 0.9;

/// Files below a folder, as relative names in a fixed order.
std::vector<std::string> files_in(const fs::path& folder) {
  std::vector<std::string> out;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) out.push_back(fs::relative(entry.path(), folder).generic_string());
  }
  std::sort(out.begin(), out.end());
  return out;
}

bool is_state(const std::string& name) {
  return name == kManifest || name == kTensors || name == kState;
}

void check_space(const fs::path& folder, double need) {
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  if (error) return;  // the writing itself will tell
  if (need <= kShareOfFreeSpace * static_cast<double>(space.available)) return;
  fail_surroundings(folder.string(),
                    str("a checkpoint needs about ", static_cast<int64_t>(need / 1e6), " MB, ",
                        space.available / 1000000, " MB are free"),
                    "make room, or keep fewer checkpoints (save_total_limit)");
}

Manifest manifest_of(const fs::path& folder, const CheckpointInfo& info) {
  const auto time = std::chrono::system_clock::now().time_since_epoch();
  Manifest manifest{.fields = {{"format", kFormat},
                               {"guerdon", version()},
                               {"step", info.step},
                               {"time", std::chrono::duration<double>(time).count()},
                               {"settings_sha256", info.settings_sha256},
                               {"data_fingerprint", info.data_fingerprint}}};
  for (const std::string& name : files_in(folder))
    manifest.files[name] = {fs::file_size(folder / name), sha256_file(folder / name)};
  return manifest;
}

void discard(const fs::path& folder) {
  const fs::path trash = folder.parent_path() / (".trash-" + folder.filename().string());
  std::error_code error;
  fs::remove_all(trash, error);
  fs::rename(folder, trash, error);
  if (!error) fs::remove_all(trash, error);
  if (error) log::warning(folder.string() + ": could not be removed: " + error.message());
}

}  // namespace

std::string checkpoint_name(int64_t step) {
  char name[32];
  std::snprintf(name, sizeof name, "step-%06lld", static_cast<long long>(step));
  return name;
}

CheckpointWriter::~CheckpointWriter() {
  if (!is_writing()) return;
  try {
    finish();
  } catch (const std::exception& e) {
    log::warning(e.what());
  }
}

void CheckpointWriter::begin(const fs::path& checkpoints, const CheckpointInfo& info,
                             optim::State state,
                             const std::function<void(NewFolder&)>& save_model) {
  GUERDON_CHECK(!is_writing(), "a checkpoint is being written already");
  auto folder = std::make_unique<NewFolder>(checkpoints / checkpoint_name(info.step));
  // The model is at most as large as the state, which holds the same weights and their moments.
  check_space(folder->path(), 2.0 * static_cast<double>(model::bytes_of(state.tensors)));
  save_model(*folder);
  written_ = std::async(std::launch::async,
                        [folder = std::move(folder), info, state = std::move(state)]() {
                          model::add_tensors(*folder, kTensors, state.tensors);
                          folder->add(kState, optim::state_json_text(state));
                          folder->add(kManifest, manifest_text(manifest_of(folder->path(), info)));
                          folder->commit();
                        });
}

bool CheckpointWriter::is_ready() const {
  return is_writing() && written_.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
}

void CheckpointWriter::finish() { written_.get(); }

fs::path write_checkpoint(const fs::path& checkpoints, const CheckpointInfo& info,
                          const optim::State& state,
                          const std::function<void(NewFolder&)>& save_model) {
  CheckpointWriter writer;
  writer.begin(checkpoints, info, state, save_model);
  writer.finish();
  return checkpoints / checkpoint_name(info.step);
}

std::vector<fs::path> list_checkpoints(const fs::path& checkpoints) {
  std::vector<std::pair<int64_t, fs::path>> found;
  if (fs::exists(checkpoints)) {
    for (const auto& entry : fs::directory_iterator(checkpoints)) {
      const std::string name = entry.path().filename().string();
      long long step = 0;
      int length = 0;
      const bool matches = std::sscanf(name.c_str(), "step-%lld%n", &step, &length) == 1 &&
                           length == static_cast<int>(name.size());
      if (matches && entry.is_directory()) found.emplace_back(step, entry.path());
    }
  }
  std::sort(found.rbegin(), found.rend());
  std::vector<fs::path> out;
  out.reserve(found.size());
  for (auto& item : found) out.push_back(std::move(item.second));
  return out;
}

CheckpointInfo verify_checkpoint(const fs::path& checkpoint) {
  const fs::path file = checkpoint / kManifest;
  const Manifest manifest = parse_manifest(read_file(file), file.string());
  const auto& files = manifest.files;
  CheckpointInfo info;
  try {
    const Json& fields = manifest.fields;
    if (fields.at("format") != kFormat)
      fail_input(file.string(), "is of another format than this version reads");
    if (!fields.at("step").is_number_integer()) fail_input(file.string(), "names no step");
    info.step = fields.at("step").get<int64_t>();
    info.settings_sha256 = fields.at("settings_sha256").get<std::string>();
    info.data_fingerprint = fields.at("data_fingerprint").get<std::string>();
  } catch (const Json::exception&) {
    fail_input(file.string(), "is not the manifest of a checkpoint; the file is damaged");
  }
  for (const auto& [name, entry] : files) {
    const fs::path part = checkpoint / name;
    if (!fs::is_regular_file(part)) fail_input(part.string(), "is missing");
    if (fs::file_size(part) != entry.size)
      fail_input(part.string(), "has another size than manifest.json says; the file is damaged");
    if (sha256_file(part) != entry.sha256)
      fail_input(part.string(), "SHA-256 differs from manifest.json; the file is damaged");
  }
  if (checkpoint_name(info.step) != checkpoint.filename() || !files.contains(kState) ||
      !files.contains(kTensors)) {
    fail_input(file.string(), "does not belong to this checkpoint; the file is damaged");
  }
  for (const std::string& name : files_in(checkpoint)) {
    if (name != kManifest && !files.contains(name)) {
      fail_input((checkpoint / name).string(), "is not in manifest.json");
    }
  }
  return info;
}

std::optional<fs::path> newest_intact(const fs::path& checkpoints) {
  for (const fs::path& candidate : list_checkpoints(checkpoints)) {
    try {
      verify_checkpoint(candidate);
      return candidate;
    } catch (const Error& e) {
      log::warning(std::string(e.what()) + "; the next older checkpoint is tried");
    }
  }
  return std::nullopt;
}

optim::State load_state(const fs::path& checkpoint) {
  optim::State state;
  const model::TensorFile file(checkpoint / kTensors);
  for (const data::TensorEntry& entry : file.entries()) {
    state.tensors.emplace_back(entry.name, file.load(entry.name));
  }
  const fs::path json = checkpoint / kState;
  optim::read_state_json(read_json(json, {.bytes = size_t{1} << 30}), json.string(), state);
  return state;
}

void prune_checkpoints(const fs::path& checkpoints, std::optional<int64_t> keep,
                       std::optional<int64_t> best) {
  if (!fs::exists(checkpoints)) return;
  std::vector<fs::path> left_over;
  for (const auto& entry : fs::directory_iterator(checkpoints)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with(".tmp-") || name.starts_with(".trash-")) left_over.push_back(entry.path());
  }
  std::error_code ignored;
  for (const fs::path& path : left_over) fs::remove_all(path, ignored);

  if (!keep) return;
  const std::vector<fs::path> all = list_checkpoints(checkpoints);
  for (auto i = static_cast<size_t>(*keep); i < all.size(); ++i) {
    if (!best || all[i].filename() != checkpoint_name(*best)) discard(all[i]);
  }
}

void link_model(const fs::path& checkpoint, const fs::path& target) {
  NewFolder folder(target);
  for (const std::string& name : files_in(checkpoint)) {
    if (is_state(name)) continue;
    const fs::path from = checkpoint / name, to = folder.path() / name;
    fs::create_directories(to.parent_path());
    std::error_code error;
    fs::create_hard_link(from, to, error);
    if (error) {
      const MappedFile content(from);
      folder.add(name, content.bytes());
    }
  }
  folder.commit();
}

}  // namespace guerdon::train
