#include "guerdon/train/models.h"

#include "guerdon/base/error.h"
#include "guerdon/base/file.h"

namespace guerdon::train {
namespace fs = std::filesystem;
namespace {

std::optional<text::ChatTemplate> find_template(const fs::path& folder, const fs::path& own) {
  const fs::path from = own.empty() ? folder : own;
  if (fs::is_regular_file(from)) return text::ChatTemplate::parse(read_file(from), from.string());
  if (own.empty() && !text::ChatTemplate::exists(from)) return std::nullopt;
  return text::ChatTemplate::load(from);
}

}  // namespace

void describe(SettingList& field, LoraSettings& s) {
  field("r", s.r, "Rank of the adapter; 0: train all weights", {.min = 0});
  field("lora_alpha", s.lora_alpha, "The adapter is scaled by lora_alpha / r", {.above = 0.0});
  field("use_rslora", s.use_rslora, "Scale by lora_alpha / sqrt(r) instead");
  field("target_modules", s.target_modules,
        "Layers that get one: names or ends of names, or \"all-linear\"; empty: PEFT's choice");
}

bool add_lora(model::Backbone& body, const LoraSettings& s, uint64_t seed) {
  if (s.r == 0) return false;
  model::add_adapter(body, "default",
                     {.r = s.r,
                      .lora_alpha = s.lora_alpha,
                      .use_rslora = s.use_rslora,
                      .target_modules = s.target_modules},
                     seed);
  return true;
}

model::ModelOptions model_options(const TrainSettings& s) {
  return {.compute = s.bf16 ? at::kBFloat16 : at::ScalarType::Undefined,
          .checkpointing = s.gradient_checkpointing};
}

Words::Words(const fs::path& folder, const std::string& chat_template_path,
             const data::EncodeOptions& options)
    : tokenizer_(text::Tokenizer::load(folder)),
      template_(find_template(folder, chat_template_path)) {
  encoder_.emplace(tokenizer_, template_ ? &*template_ : nullptr, options);
}

model::SaveOptions save_options(const fs::path& folder, const Words& words) {
  const auto pad = words.tokenizer().pad();
  return {.assets = folder, .pad_token_id = pad ? pad : words.tokenizer().eos()};
}

}  // namespace guerdon::train
