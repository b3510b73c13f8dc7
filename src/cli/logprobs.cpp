/// `guerdon logprobs`: log-probabilities of given completions under a model.
#include <charconv>
#include <cmath>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/commands.h"
#include "cli/console.h"
#include "cli/data.h"
#include "cli/output.h"
#include "guerdon/base/error.h"
#include "guerdon/data/formats.h"
#include "guerdon/model/logprobs.h"
#include "guerdon/model/pretrained.h"

namespace guerdon::cli {
namespace {

struct Arguments {
  std::string model, data, output = "-", adapter, chat_template, dtype = "float32";
  double temperature = 1.0;
  int64_t batch_tokens = 8192;
};

/// A row's ids, and from where on they are asked about.
struct Asked {
  std::vector<int64_t> tokens;
  int64_t prompt_length = 0;

  /// The first token of all is predicted by nothing.
  int64_t first() const {
    return std::min(std::max(prompt_length, int64_t{1}), static_cast<int64_t>(tokens.size()));
  }
};

/// Rows to token ids. Tokenizer and template are read when a row needs them: rows of ids need none.
class Rows {
 public:
  explicit Rows(const EncodeArguments& model) : model_(model) {}

  Asked read(const data::Row& row) {
    data::RowFormat& format =
        formats_.try_emplace(kind_of(row.fields), data::FormatOptions{.transcripts = false})
            .first->second;
    const std::optional<Example> example = format.read(row);
    const bool completes = format.type() == data::DatasetType::prompt_completion;
    if (!example || (!completes && format.type() != data::DatasetType::language_modeling)) {
      fail_input(row.fields.where(),
                 "is a row of " + data::name_of(format.type()) +
                     " (expected prompt and completion, text, or tokens and prompt_length)");
    }
    const Fields& given = example->responses[0].fields;
    if (given.has("ids")) {
      Asked out{.prompt_length = static_cast<int64_t>(given.number_or("prompt_length", 0))};
      for (const double id : given.numbers("ids")) out.tokens.push_back(static_cast<int64_t>(id));
      return out;
    }
    const data::EncodedSequence sequence =
        completes ? encoder().completion(*example, 0) : encoder().judged(*example, 0);
    return {sequence.tokens, sequence.prompt_length};
  }

 private:
  /// A file may mix forms: each has a RowFormat of its own, which names its faults.
  static std::string kind_of(const Fields& fields) {
    for (const char* column : {"tokens", "text"}) {
      if (fields.has(column)) return column;
    }
    return fields.has("prompt") && fields.json().at("prompt").is_string() ? "plain" : "messages";
  }

  /// The completion is taken as it stands: no EOS is added to it.
  const data::Encoder& encoder() {
    if (!encoder_) {
      text_.emplace(TextModel::load(model_));
      encoder_.emplace(text_->tokenizer, text_->chat(), data::EncodeOptions{.append_eos = false});
    }
    return *encoder_;
  }

  EncodeArguments model_;
  std::map<std::string, data::RowFormat> formats_;
  std::optional<TextModel> text_;
  std::optional<data::Encoder> encoder_;
};

void put(std::string& out, float value) {
  char text[32];
  out.append(text, std::to_chars(text, text + sizeof text, value).ptr);
}

void put_list(std::string& out, const char* name, const float* values, int64_t count) {
  out += str(",\"", name, "\":[");
  for (int64_t i = 0; i < count; ++i) {
    if (i > 0) out += ',';
    put(out, values[i]);
  }
  out += ']';
}

/// Rows that go through the model together.
class Batch {
 public:
  Batch(model::Decoder& decoder, double temperature, Output& output)
      : decoder_(decoder), temperature_(temperature), output_(output) {}

  void add(Asked row) {
    tokens_ += static_cast<int64_t>(row.tokens.size());
    rows_.push_back(std::move(row));
  }
  int64_t tokens() const { return tokens_; }

  void flush() {
    const at::NoGradGuard no_grad;
    // Neighbours with the same prompt share it.
    std::vector<Sequence> sequences;
    std::vector<int64_t> groups;
    const Asked* before = nullptr;
    for (const Asked& row : rows_) {
      if (row.first() == static_cast<int64_t>(row.tokens.size())) continue;  // nothing to predict
      if (before == nullptr || !same_prompt(*before, row)) {
        groups.push_back(static_cast<int64_t>(sequences.size()));
      }
      Sequence sequence{.tokens = row.tokens,
                        .weight = std::vector<float>(row.tokens.size(), 1.0F)};
      std::fill(sequence.weight.begin(), sequence.weight.begin() + row.first(), 0.0F);
      sequences.push_back(std::move(sequence));
      before = &row;
    }
    groups.push_back(static_cast<int64_t>(sequences.size()));
    ops::TokenStats stats;
    if (!sequences.empty()) {
      const PackedBatch batch =
          pack(sequences, groups, {.share_prefixes = decoder_.shares_prefixes()});
      stats = model::token_stats(decoder_, batch, temperature_, {.entropy = true});
      stats.logprob = stats.logprob.to(at::kCPU, at::kFloat).contiguous();
      stats.entropy = stats.entropy.to(at::kCPU, at::kFloat).contiguous();
    }
    int64_t at = 0;
    for (const Asked& row : rows_) {
      const int64_t count = static_cast<int64_t>(row.tokens.size()) - row.first();
      write(row, count > 0 ? stats.logprob.const_data_ptr<float>() + at : nullptr,
            count > 0 ? stats.entropy.const_data_ptr<float>() + at : nullptr, count);
      at += count;
    }
    rows_.clear();
    tokens_ = 0;
  }

 private:
  static bool same_prompt(const Asked& a, const Asked& b) {
    return a.prompt_length > 0 && a.prompt_length == b.prompt_length &&
           std::equal(a.tokens.begin(), a.tokens.begin() + a.prompt_length, b.tokens.begin());
  }

  void write(const Asked& row, const float* logprobs, const float* entropy, int64_t count) {
    std::string line = str("{\"index\":", index_++, ",\"tokens\":[");
    for (size_t i = 0; i < row.tokens.size(); ++i) line += str(i ? "," : "", row.tokens[i]);
    line += str("],\"prompt_length\":", row.first());
    put_list(line, "logprobs", logprobs, count);
    double sum = 0.0;
    for (int64_t i = 0; i < count; ++i) sum += logprobs[i];
    line += ",\"sum\":" + json_number(sum);
    line += ",\"mean\":" + (count > 0 ? json_number(sum / static_cast<double>(count)) : "null");
    put_list(line, "entropy", entropy, count);
    output_.line(line + "}");
  }

  model::Decoder& decoder_;
  const double temperature_;
  Output& output_;
  std::vector<Asked> rows_;
  int64_t tokens_ = 0, index_ = 0;
};

void check(const Asked& row, const model::Decoder& decoder, const std::string& where) {
  const int64_t vocabulary = decoder.shape().vocabulary_size;
  for (const int64_t id : row.tokens) {
    if (id < 0 || id >= vocabulary) {
      fail_input(where, str("token id ", id, " is outside the model's vocabulary of ", vocabulary),
                 "is the tokenizer the one that belongs to this model?");
    }
  }
  const auto length = static_cast<int64_t>(row.tokens.size());
  if (decoder.shape().ropes.empty() && length > decoder.shape().max_positions) {
    fail_input(where, str("has ", length, " tokens, the model has ", decoder.shape().max_positions,
                          " positions"));
  }
  if (row.prompt_length < 0 || row.prompt_length > length) {
    fail_input(where, str("prompt_length is ", row.prompt_length, " of ", length, " tokens"));
  }
}

void logprobs(const Arguments& arguments) {
  const std::filesystem::path folder = data::find_model(arguments.model).folder;
  const at::ScalarType dtype = arguments.dtype == "bfloat16" ? at::kBFloat16 : at::kFloat;
  const auto decoder = model::load_decoder(arguments.model, {.model = {.parameters = dtype}});
  if (!arguments.adapter.empty()) model::load_adapter(*decoder, "adapter", arguments.adapter);

  Rows rows({.model = folder.string(), .chat_template = arguments.chat_template});
  data::RowReader reader(arguments.data);
  Output output(arguments.output);
  Batch batch(*decoder, arguments.temperature, output);
  const ProgressSink progress = Console::get().progress();
  int64_t done = 0, tokens = 0;
  while (const std::optional<data::Row> row = reader.next()) {
    Asked asked = rows.read(*row);
    check(asked, *decoder, row->fields.where());
    const auto length = static_cast<int64_t>(asked.tokens.size());
    if (batch.tokens() > 0 && batch.tokens() + length > arguments.batch_tokens) batch.flush();
    batch.add(std::move(asked));
    tokens += length;
    progress({.task = "log-probabilities", .done = ++done, .unit = "row", .tokens = tokens});
  }
  batch.flush();
  output.close();
}

}  // namespace

void add_logprobs(CLI::App& program) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command =
      add_command(program, "logprobs",
                  "guerdon logprobs --model models/m --data rows.jsonl --output out.jsonl");
  command->add_option("--model", arguments->model, "Model folder or run folder")->required();
  command
      ->add_option("--data", arguments->data,
                   "Rows {prompt, completion}, {text} or {tokens, prompt_length}; JSON lines")
      ->required();
  command
      ->add_option("-o,--output", arguments->output,
                   "Rows {index, tokens, prompt_length, logprobs, sum, mean, entropy}: tokens are "
                   "those of the whole row, the lists begin at prompt_length; - is standard output")
      ->capture_default_str();
  command->add_option("--adapter", arguments->adapter, "Folder of a LoRA adapter for the model");
  command->add_option("--chat-template", arguments->chat_template,
                      "A Jinja file in place of the model's template");
  command
      ->add_option("--temperature", arguments->temperature,
                   "Log softmax(logits / temperature) over the whole vocabulary")
      ->check(CLI::Range(1e-3, 1e3))
      ->capture_default_str();
  command->add_option("--dtype", arguments->dtype, "float32 or bfloat16")
      ->check(CLI::IsMember({"float32", "bfloat16"}))
      ->capture_default_str();
  command
      ->add_option("--batch-tokens", arguments->batch_tokens, "Tokens that the model reads at once")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 24))
      ->capture_default_str();
  command->callback([arguments] { logprobs(*arguments); });
}

}  // namespace guerdon::cli
