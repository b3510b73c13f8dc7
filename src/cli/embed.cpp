/// `guerdon embed`: vectors of the texts of a data file, and rows that name them.
#include <ATen/ATen.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string_view>
#include <unordered_map>

#include "cli/commands.h"
#include "cli/console.h"
#include "cli/data.h"
#include "cli/output.h"
#include "guerdon/base/error.h"
#include "guerdon/base/file.h"
#include "guerdon/base/log.h"
#include "guerdon/base/signals.h"
#include "guerdon/data/safetensors_header.h"
#include "guerdon/data/source.h"
#include "guerdon/model/embedder.h"

namespace guerdon::cli {
namespace {

namespace fs = std::filesystem;
using data::DatasetType;

constexpr const char* kKey = "vectors";
constexpr size_t kTexts = 1024;  // in memory at once

struct Arguments {
  DataArguments data;
  std::string model, output, vectors;
  model::EmbedderOptions embedder;
  bool joint = false;
};

/// The texts of a row that get a vector: the columns that are to name them, with their tokens.
struct Embedded {
  std::string column;
  std::vector<int64_t> tokens;
};

std::vector<Embedded> texts_of(const Example& example, DatasetType type, const Arguments& arguments,
                               const model::Embedder& embedder) {
  std::vector<Embedded> out;
  if (!arguments.joint) out.push_back({"prompt_vector", embedder.tokens(example.prompt)});
  for (size_t i = 0; i < example.responses.size(); ++i) {
    const char* column = type == DatasetType::ranked       ? "response_vectors"
                         : type != DatasetType::preference ? "completion_vector"
                         : i == 0                          ? "chosen_vector"
                                                           : "rejected_vector";
    out.push_back({column, arguments.joint ? embedder.judged_tokens(example, i)
                                           : embedder.tokens(example.responses[i].text)});
  }
  return out;
}

/// Equal texts have one vector: the number of the first.
class Numbers {
 public:
  int64_t of(const std::vector<int64_t>& tokens) {
    const std::string key =
        sha256({reinterpret_cast<const char*>(tokens.data()), tokens.size() * sizeof(int64_t)});
    return numbers_.emplace(key, static_cast<int64_t>(numbers_.size())).first->second;
  }
  int64_t size() const { return static_cast<int64_t>(numbers_.size()); }

 private:
  std::unordered_map<std::string, int64_t> numbers_;
};

[[noreturn]] void stopped() {
  throw Error(Kind::stopped, "embed",
              str("stopped by signal ", stop_signal(), "; nothing is kept"));
}

/// The rows with their columns of vectors. Gives the number of vectors.
int64_t write_rows(const data::DataSource& source, const Arguments& arguments,
                   const model::Embedder& embedder, NewFile& file) {
  const fs::path folder = fs::path(arguments.output).parent_path();
  const std::string name =
      fs::proximate(arguments.vectors, folder.empty() ? "." : folder).generic_string();
  Numbers numbers;
  for (int64_t row = 0; row < source.size(); ++row) {
    if (stop_signal() != 0) stopped();
    const Example example = source.at(row);
    Json out = data::row_json(example, source.type());
    if (source.type() == DatasetType::ranked) out["response_vectors"] = Json::array();
    for (const Embedded& text : texts_of(example, source.type(), arguments, embedder)) {
      Json reference = {{"file", name}, {"key", kKey}, {"row", numbers.of(text.tokens)}};
      if (text.column == "response_vectors") {
        out[text.column].push_back(std::move(reference));
      } else {
        out[text.column] = std::move(reference);
      }
    }
    file.write(out.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n");
  }
  return numbers.size();
}

/// The vectors in the order of their numbers.
void write_vectors(const data::DataSource& source, const Arguments& arguments,
                   const model::Embedder& embedder, int64_t count, NewFile& file) {
  file.write(data::safetensors_header({{kKey, "F32", {count, embedder.width()}}},
                                      {{"model", arguments.model},
                                       {"pooling", arguments.embedder.pooling},
                                       {"texts", arguments.joint ? "joint" : "apart"}}));
  const ProgressSink progress = Console::get().progress();
  Numbers numbers;
  std::vector<std::vector<int64_t>> waiting;
  int64_t written = 0;
  const auto flush = [&] {
    const Tensor vectors = embedder.vectors(waiting).contiguous();
    file.write({static_cast<const char*>(vectors.const_data_ptr()), vectors.nbytes()});
    written += static_cast<int64_t>(waiting.size());
    waiting.clear();
    progress({.task = "embedding", .done = written, .total = count, .unit = "text"});
  };
  for (int64_t row = 0; row < source.size(); ++row) {
    if (stop_signal() != 0) stopped();
    for (Embedded& text : texts_of(source.at(row), source.type(), arguments, embedder)) {
      const int64_t before = numbers.size();
      if (numbers.of(text.tokens) < before) continue;
      waiting.push_back(std::move(text.tokens));
      if (waiting.size() == kTexts) flush();
    }
  }
  flush();
}

void embed(Arguments arguments) {
  const data::DataSource source(arguments.data.file, arguments.data.options());
  data::require_type(
      source,
      {DatasetType::prompt_only, DatasetType::prompt_completion, DatasetType::preference,
       DatasetType::unpaired_preference, DatasetType::ranked},
      "prompts, with responses or without, are");
  if (arguments.joint && source.type() == DatasetType::prompt_only)
    fail_settings("flag --joint", "needs rows with responses");
  if (arguments.vectors.empty())
    arguments.vectors = fs::path(arguments.output).replace_extension(".safetensors").string();
  if (fs::path(arguments.vectors) == fs::path(arguments.output))
    fail_settings("flag --vectors", "must not be the file of the rows");
  const model::Embedder embedder(arguments.model, arguments.embedder);

  const StopSignals signals;
  NewFile rows(arguments.output), vectors(arguments.vectors);
  const int64_t count = write_rows(source, arguments, embedder, rows);
  write_vectors(source, arguments, embedder, count, vectors);
  vectors.commit();
  rows.commit();
  log::info(str(arguments.vectors, ": ", count, " vectors of ", embedder.width(), " numbers"));
}

}  // namespace

void add_embed(CLI::App& program) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command =
      add_command(program, "embed",
                  "guerdon embed --model models/minilm --data pairs.jsonl --output vectors.jsonl");
  command
      ->add_option("--model", arguments->model,
                   "Model folder or run folder; a decoder or an encoder")
      ->required();
  arguments->data.add_to(command);
  command
      ->add_option(
          "-o,--output", arguments->output,
          "The rows with the columns prompt_vector, chosen_vector, ..., which name vectors")
      ->required();
  command->add_option("--vectors", arguments->vectors,
                      "The safetensors file of the vectors (default: named as the rows)");
  command->add_flag("--joint", arguments->joint,
                    "A response's vector is that of prompt and response as a reward model reads "
                    "them (for a head); otherwise prompt and response have one each");
  command->add_option("--pooling", arguments->embedder.pooling, "mean, last or cls")
      ->check(CLI::IsMember({"mean", "last", "cls"}))
      ->capture_default_str();
  command
      ->add_option("--batch-tokens", arguments->embedder.batch_tokens,
                   "Tokens that the model reads at once")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 24))
      ->capture_default_str();
  command->add_flag("--bf16", arguments->embedder.bf16, "Compute in bfloat16");
  command->callback([arguments] { embed(*arguments); });
}

}  // namespace guerdon::cli
