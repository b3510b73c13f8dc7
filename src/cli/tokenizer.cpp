/// `guerdon tokenizer train`: learn a vocabulary.
#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "guerdon/base/error.h"
#include "guerdon/base/file.h"
#include "guerdon/base/log.h"
#include "guerdon/data/reader.h"
#include "guerdon/text/tokenizer.h"

namespace guerdon::cli {
namespace {

struct Arguments {
  std::vector<std::string> data, columns, special_tokens;
  std::string output, bos_token, eos_token = "<|endoftext|>", pad_token;
  text::BpeTraining training;
};

/// All texts of a value: a string, or the contents of messages, wherever they stand.
void gather(const Json& value, std::vector<std::string>& texts) {
  if (value.is_string()) texts.push_back(value.get<std::string>());
  if (value.is_array()) {
    for (const Json& element : value) gather(element, texts);
  }
  if (value.is_object() && value.contains("content")) gather(value["content"], texts);
}

void read_texts(const std::string& file, const std::vector<std::string>& columns,
                std::vector<std::string>& texts) {
  if (std::filesystem::path(file).extension() == ".txt") {
    texts.push_back(read_file(file));
    return;
  }
  data::RowReader reader(file);
  while (const auto row = reader.next()) {
    for (const auto& [name, value] : row->fields.json().items()) {
      const bool wanted =
          columns.empty() || std::find(columns.begin(), columns.end(), name) != columns.end();
      if (wanted) gather(value, texts);
    }
  }
}

void train(Arguments arguments) {
  std::vector<std::string> texts;
  for (const std::string& file : arguments.data) read_texts(file, arguments.columns, texts);
  if (texts.empty())
    fail_input(arguments.data.front(), "has no text in the columns that were asked for");

  // Named tokens come first, each once.
  Json config = Json::object();
  std::vector<std::string>& special = arguments.training.special_tokens;
  const auto add = [&](const std::string& token) {
    if (!token.empty() && std::find(special.begin(), special.end(), token) == special.end())
      special.push_back(token);
  };
  const auto name = [&](const char* key, const std::string& token) {
    add(token);
    config[key] = token.empty() ? Json() : Json(token);
  };
  name("bos_token", arguments.bos_token);
  name("eos_token", arguments.eos_token);
  name("pad_token", arguments.pad_token.empty() ? arguments.eos_token : arguments.pad_token);
  for (const std::string& token : arguments.special_tokens) add(token);
  config["tokenizer_class"] = "PreTrainedTokenizerFast";

  const std::filesystem::path folder = arguments.output;
  const std::string json = text::train_bpe(texts, arguments.training);
  const text::Tokenizer tokenizer =
      text::Tokenizer::from_json(parse_json(json, "trained"), "trained");
  write_file(folder / "tokenizer.json", json);
  write_file(folder / "tokenizer_config.json", config.dump(2) + "\n");
  log::info(str("a vocabulary of ", tokenizer.vocabulary_size(), " tokens from ", texts.size(),
                " texts, in ", arguments.output));
}

}  // namespace

void add_tokenizer(CLI::App& program) {
  CLI::App* command = add_command(
      program, "tokenizer", "guerdon tokenizer train --data texts.jsonl --output models/tiny");
  command->require_subcommand(1);
  auto arguments = std::make_shared<Arguments>();
  CLI::App* training =
      add_subcommand(command, "train", "Learn a byte-level BPE from texts",
                     "guerdon tokenizer train --data texts.jsonl --output models/tiny "
                     "--vocabulary-size 8192");
  training
      ->add_option("--data", arguments->data,
                   "JSON lines, whose texts and messages are taken, or .txt files")
      ->required();
  training->add_option("--column", arguments->columns, "Only these columns of the rows");
  training
      ->add_option("-o,--output", arguments->output,
                   "Folder for tokenizer.json and tokenizer_config.json")
      ->required();
  training
      ->add_option("--vocabulary-size", arguments->training.vocabulary_size,
                   "Tokens in all: special ones, 256 bytes, merges")
      ->capture_default_str();
  training
      ->add_option("--min-frequency", arguments->training.min_frequency,
                   "A pair that is rarer is not merged")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  training->add_option("--bos-token", arguments->bos_token, "Stands before a text");
  training->add_option("--eos-token", arguments->eos_token, "Ends a text")->capture_default_str();
  training->add_option("--pad-token", arguments->pad_token, "Fills rows up (default: as EOS)");
  training->add_option("--special-token", arguments->special_tokens, "One more, never split");
  training->callback([arguments] { train(*arguments); });
}

}  // namespace guerdon::cli
