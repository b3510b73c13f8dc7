/// What every method starts from: a model folder with its tokenizer and chat template, and LoRA.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "guerdon/data/encode.h"
#include "guerdon/model/lora.h"
#include "guerdon/model/pretrained.h"
#include "guerdon/text/chat_template.h"
#include "guerdon/text/tokenizer.h"
#include "guerdon/train/settings.h"

namespace guerdon::train {

/// `lora`: off while r is 0. Other names as in PEFT.
struct LoraSettings {
  int64_t r = 0;
  double lora_alpha = 32;
  bool use_rslora = false;
  std::vector<std::string> target_modules;
};
void describe(SettingList& field, LoraSettings& settings);

/// Adds the adapter "default" to a body when the settings ask for one; true if so.
bool add_lora(model::Backbone& body, const LoraSettings& settings, uint64_t seed);

/// How models are loaded under these settings.
model::ModelOptions model_options(const TrainSettings& settings);

/// Tokenizer and template of a model folder, which the encoder refers to.
class Words {
 public:
  /// `chat_template_path` replaces the folder's template: a Jinja file or a folder; "" keeps it.
  Words(const std::filesystem::path& folder, const std::string& chat_template_path,
        const data::EncodeOptions& options);

  const data::Encoder& encoder() const { return *encoder_; }
  const text::Tokenizer& tokenizer() const { return tokenizer_; }

 private:
  text::Tokenizer tokenizer_;
  std::optional<text::ChatTemplate> template_;
  std::optional<data::Encoder> encoder_;
};

/// How a trained model is saved: beside the tokenizer and template that it was trained with.
model::SaveOptions save_options(const std::filesystem::path& folder, const Words& words);

}  // namespace guerdon::train
