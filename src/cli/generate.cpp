/// `guerdon generate`: continue prompts, one JSON row for each sample.
#include <algorithm>
#include <charconv>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include <ATen/ATen.h>

#include "cli/commands.h"
#include "cli/console.h"
#include "cli/output.h"
#include "guerdon/base/error.h"
#include "guerdon/base/signals.h"
#include "guerdon/data/encode.h"
#include "guerdon/data/source.h"
#include "guerdon/generate/engine.h"
#include "guerdon/model/pretrained.h"
#include "guerdon/text/chat_template.h"
#include "guerdon/train/models.h"

namespace guerdon::cli {
namespace {

constexpr int64_t kPrompts = 256;  // in memory at once

struct Arguments {
  std::string model, data, output = "-", chat_template;
  generate::EngineOptions engine;
  int64_t samples = 1;
  std::string as = "samples";
  bool bf16 = false;
};

// The shortest text that reads back to the same float.
std::string number(float value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  return std::string(text, end);
}

template <class Values, class Show>
std::string list(const Values& values, size_t count, const Show& show) {
  std::string out = "[";
  for (size_t i = 0; i < count; ++i) out += (i > 0 ? ", " : "") + show(values[i]);
  return out + "]";
}

std::string row(const Rollout& r, int64_t index) {
  const auto whole = [](int64_t id) { return std::to_string(id); };
  return "{\"index\": " + std::to_string(index) + ", \"sample\": " + std::to_string(r.sample) +
         ", \"completion\": " + json_string(r.text) +
         ", \"tokens\": " + list(r.tokens, r.tokens.size(), whole) +
         ", \"logprobs\": " + list(r.logprobs.const_data_ptr<float>(), r.tokens.size(), number) +
         ", \"finish_reason\": " + json_string(name_of(r.finish)) + "}";
}

/// A sample as data that other commands read: in its row, as the completion; or beside the row's
/// own completion, which is the chosen one of a pair.
std::string data_row(const Rollout& r, bool pair) {
  const Example& given = *r.example;
  Response sample;
  if (data::is_conversational(given.prompt)) {
    sample.text = Conversation{{.role = "assistant", .content = r.text, .extra = {}}};
  } else {
    sample.text = r.text;
  }
  Example out{given.id, given.prompt, {}, given.fields};
  if (pair) out.responses.push_back(given.responses[0]);
  out.responses.push_back(std::move(sample));
  return data::row_json(out,
                        pair ? data::DatasetType::preference : data::DatasetType::prompt_completion)
      .dump(-1, ' ', false, Json::error_handler_t::replace);
}

void run_generate(const Arguments& arguments) {
  const std::filesystem::path folder = data::find_model(arguments.model).folder;
  const train::Words words(folder, arguments.chat_template, {});
  const data::DataSource source(arguments.data);
  if (arguments.as == "pairs")
    data::require_type(source, {data::DatasetType::prompt_completion},
                       "rows with a completion of their own are");
  data::require_type(source,
                     {data::DatasetType::prompt_only, data::DatasetType::prompt_completion,
                      data::DatasetType::preference, data::DatasetType::unpaired_preference,
                      data::DatasetType::ranked, data::DatasetType::candidates},
                     "prompts are");
  const auto decoder = model::load_decoder(
      arguments.model,
      {.model = {.compute = arguments.bf16 ? at::kBFloat16 : at::ScalarType::Undefined}});
  generate::EngineOptions options = arguments.engine;
  options.stop_ids = generate::stop_ids_of(folder, words.tokenizer());
  generate::Engine engine(*decoder, words.tokenizer(), options);

  Output output(arguments.output);
  const ProgressSink draw = Console::get().progress();
  const StopSignals signals;
  int64_t tokens = 0;
  for (int64_t begin = 0; begin < source.size(); begin += kPrompts) {
    std::vector<generate::Prompt> prompts;
    for (int64_t i = begin; i < std::min(begin + kPrompts, source.size()); ++i) {
      auto example = std::make_shared<Example>(source.at(i));
      std::vector<int64_t> ids = words.encoder().prompt(example->prompt, example->fields);
      prompts.push_back({.example = std::move(example),
                         .tokens = std::move(ids),
                         .key = static_cast<uint64_t>(i)});
    }
    const std::vector<Rollout> rollouts =
        engine.sample(prompts, arguments.samples, [&](Progress progress) {
          progress.done += begin * arguments.samples;
          progress.total = source.size() * arguments.samples;
          progress.tokens += tokens;
          draw(progress);
        });
    if (const int signal = stop_signal(); signal != 0) {
      throw Error(Kind::stopped, "generate",
                  str("stopped by signal ", signal, "; nothing is kept"));
    }
    for (const Rollout& r : rollouts) {
      output.line(arguments.as == "samples" ? row(r, begin + r.group)
                                            : data_row(r, arguments.as == "pairs"));
      tokens += static_cast<int64_t>(r.tokens.size());
    }
  }
  output.close();
}

}  // namespace

void add_generate(CLI::App& program) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command = add_command(
      program, "generate",
      "guerdon generate --model runs/grpo --data prompts.jsonl --output answers.jsonl --n 4");
  generate::EngineOptions& engine = arguments->engine;
  command->add_option("--model", arguments->model, "Model folder or run folder")->required();
  command->add_option("--data", arguments->data, "Rows with \"prompt\": a text or messages")
      ->required();
  command->add_option("-o,--output", arguments->output, "Where the rows go (default: -)");
  command
      ->add_option("--max-new-tokens", engine.max_new_tokens, "Tokens that a completion may have")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 24))
      ->capture_default_str();
  command
      ->add_option("--temperature", engine.sampling.temperature,
                   "Divides the logits; 0 takes the likeliest token")
      ->check(CLI::Range(0.0, 100.0))
      ->capture_default_str();
  command->add_option("--top-p", engine.sampling.top_p, "Likeliest tokens up to this mass")
      ->check(CLI::Range(1e-9, 1.0))
      ->capture_default_str();
  command->add_option("--top-k", engine.sampling.top_k, "So many of the likeliest tokens; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--min-p", engine.sampling.min_p, "Least share of the likeliest one's chance")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command
      ->add_option("--repetition-penalty", engine.sampling.repetition_penalty,
                   "Above 1: tokens that were there lose chance")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--stop", engine.stop, "Text that ends a completion (may be given often)")
      ->check([](const std::string& text) { return text.empty() ? "must not be empty" : ""; });
  command->add_option("--n", arguments->samples, "Samples of each prompt")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20))
      ->capture_default_str();
  command
      ->add_option(
          "--as", arguments->as,
          "What is written: samples (texts, tokens, log-probabilities); rows (the data's "
          "rows, completed); or pairs (the row's own completion chosen, the sample rejected)")
      ->check(CLI::IsMember({"samples", "rows", "pairs"}))
      ->capture_default_str();
  command->add_option("--seed", engine.seed, "Same seed, same samples")->capture_default_str();
  command->add_option("--slots", engine.slots, "Completions side by side; no effect on the result")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 16))
      ->capture_default_str();
  command->add_option("--chat-template", arguments->chat_template,
                      "Jinja file or model folder in place of the model's own template");
  command->add_flag("--bf16", arguments->bf16, "Compute in bfloat16");
  command->callback([arguments] { run_generate(*arguments); });
}

}  // namespace guerdon::cli
