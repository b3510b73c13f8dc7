/// `guerdon model new`: a decoder with random weights for a tokenizer.
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/model.h"
#include "guerdon/base/error.h"
#include "guerdon/base/file.h"
#include "guerdon/base/log.h"
#include "guerdon/base/settings.h"
#include "guerdon/model/pretrained.h"
#include "guerdon/text/chat_template.h"
#include "guerdon/text/tokenizer.h"

namespace guerdon::cli {
namespace {

namespace fs = std::filesystem;

/// For tokenizers that come without one. Role and text on lines of their own; an answer ends with
/// the end token, so that it is learnt; a longer conversation begins with the text of the shorter
/// one.
constexpr const char* kChatTemplate =
    "{% for message in messages %}{{ '' if loop.first else '\\n\\n' }}{{ message.role | capitalize "
    "}}:{{ '\\n' }}"
    "{% if message.role == 'assistant' %}{% generation %}{{ message.content }}{{ eos_token }}{% "
    "endgeneration %}"
    "{% else %}{{ message.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '\\n\\nAssistant:\\n' }}{% endif %}";

struct Arguments {
  std::string output, tokenizer, config, chat_template, family = "qwen2";
  int64_t hidden_size = 256, layers = 4, heads = 4, kv_heads = 0, intermediate_size = 0,
          positions = 2048;
  bool untied = false;
  uint64_t seed = 0;
};

/// What config.json will say: the file's keys, or those of the flags; then what the tokenizer
/// knows.
Json config_of(const Arguments& a, const text::Tokenizer& tokenizer) {
  Json config;
  if (!a.config.empty()) {
    config = read_settings(a.config);
  } else {
    config = {
        {"model_type", a.family},
        {"hidden_size", a.hidden_size},
        // About 8/3 of the width, as in Llama, in multiples of 16.
        {"intermediate_size",
         a.intermediate_size > 0 ? a.intermediate_size : (a.hidden_size * 8 / 3 + 15) / 16 * 16},
        {"num_hidden_layers", a.layers},
        {"num_attention_heads", a.heads},
        {"num_key_value_heads", a.kv_heads > 0 ? a.kv_heads : a.heads},
        {"max_position_embeddings", a.positions},
        {"hidden_act", "silu"},
        {"rms_norm_eps", 1e-6},
        {"rope_theta", 10000.0},
        {"initializer_range", 0.02},
        {"tie_word_embeddings", !a.untied}};
  }
  if (!config.contains("vocab_size")) config["vocab_size"] = tokenizer.vocabulary_size();
  const auto set_id = [&](const char* key, const std::optional<int64_t>& id) {
    if (!config.contains(key) && id) config[key] = *id;
  };
  set_id("bos_token_id", tokenizer.bos());
  set_id("eos_token_id", tokenizer.eos());
  set_id("pad_token_id", tokenizer.pad());
  return config;
}

std::string millions(int64_t count) {
  return str(static_cast<double>(count / 10'000) / 100, " million");
}

int64_t parameters_of(const torch::nn::Module& module) {
  int64_t count = 0;
  for (const at::Tensor& p : module.parameters()) count += p.numel();
  return count;
}

void make_new(const Arguments& a) {
  const text::Tokenizer tokenizer = text::Tokenizer::load(a.tokenizer);
  const Json config = config_of(a, tokenizer);
  const std::shared_ptr<model::Decoder> decoder =
      model::new_decoder(config, a.config.empty() ? "guerdon model new" : a.config, a.seed);
  if (decoder->shape().vocabulary_size < tokenizer.vocabulary_size()) {
    fail_settings(a.config, str("key vocab_size: ", decoder->shape().vocabulary_size,
                                " is less than the tokenizer's ", tokenizer.vocabulary_size()));
  }
  const fs::path assets =
      fs::is_directory(a.tokenizer) ? fs::path(a.tokenizer) : fs::path(a.tokenizer).parent_path();
  NewFolder folder(a.output);
  model::write_decoder(folder, *decoder, {.assets = assets, .pad_token_id = tokenizer.pad()});
  // A folder that has one keeps it, unless another was asked for.
  if (!a.chat_template.empty() || !text::ChatTemplate::exists(assets)) {
    const std::string source = a.chat_template.empty() ? kChatTemplate : read_file(a.chat_template);
    text::ChatTemplate::parse(source, a.chat_template);
    folder.add("chat_template.jinja", source);
  }
  folder.commit();
  log::info(str(a.output, ": ", decoder->config().family, " with ",
                millions(parameters_of(*decoder)), " parameters, ", tokenizer.vocabulary_size(),
                " tokens"));
}

}  // namespace

void add_model_new(CLI::App* command) {
  auto a = std::make_shared<Arguments>();
  CLI::App* made =
      add_subcommand(command, "new", "Make a decoder with random weights for a tokenizer",
                     "guerdon model new --tokenizer models/words --hidden-size 128 --layers 4 "
                     "--output models/tiny");
  made->add_option("--tokenizer", a->tokenizer, "Folder with tokenizer.json, or the file")
      ->required();
  made->add_option("-o,--output", a->output, "The model's folder")->required();
  made->add_option("--config", a->config, "A config.json to follow, in place of the flags below");
  made->add_option("--family", a->family, "Kind of decoder")
      ->check(CLI::IsMember({"llama", "mistral", "qwen2", "qwen3"}))
      ->capture_default_str();
  made->add_option("--hidden-size", a->hidden_size, "Width")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  made->add_option("--layers", a->layers, "Depth")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  made->add_option("--heads", a->heads, "Attention heads")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  made->add_option("--kv-heads", a->kv_heads, "Key and value heads (default: as many)")
      ->check(CLI::PositiveNumber);
  made->add_option("--intermediate-size", a->intermediate_size,
                   "Width of the MLP (default: 8/3 of the width)")
      ->check(CLI::PositiveNumber);
  made->add_option("--positions", a->positions, "Longest sequence")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  made->add_flag("--untied", a->untied, "An LM head of its own, not the embedding's weights");
  made->add_option("--chat-template", a->chat_template,
                   "Jinja file (default: the tokenizer's, else a plain one)");
  made->add_option("--seed", a->seed, "Same seed, same weights")->capture_default_str();
  made->callback([a] { make_new(*a); });
}

}  // namespace guerdon::cli
