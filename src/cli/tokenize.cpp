/// `guerdon tokenize`: text to ids, ids to text, conversations to both.
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/commands.h"
#include "cli/output.h"
#include "guerdon/base/error.h"
#include "guerdon/base/file.h"
#include "guerdon/data/model_folder.h"
#include "guerdon/data/reader.h"
#include "guerdon/text/chat_template.h"
#include "guerdon/text/tokenizer.h"

namespace guerdon::cli {
namespace {

struct Arguments {
  std::string model, data, output = "-", chat_template;
  bool decode = false, chat = false;
  bool no_special_tokens = false, skip_special_tokens = false;
};

/// What a row becomes: the members of the output row behind "index".
using Convert = std::function<Json(const Fields& row)>;

Json encode(const text::Tokenizer& tokenizer, const Fields& row, bool add_special_tokens) {
  return {{"ids", tokenizer.encode(row.text("text"), add_special_tokens)}};
}

Json decode(const text::Tokenizer& tokenizer, const Fields& row, bool skip_special_tokens) {
  std::vector<int64_t> ids;
  const auto wrong = [&] {
    fail_input(row.where(), "field \"ids\" must be an array of token ids below " +
                                std::to_string(tokenizer.vocabulary_size()));
  };
  if (!row.has("ids") || !row.json().at("ids").is_array()) wrong();
  for (const Json& id : row.json().at("ids")) {
    if (!id.is_number_integer() || id < 0 || id >= tokenizer.vocabulary_size()) wrong();
    ids.push_back(id.get<int64_t>());
  }
  return {{"text", tokenizer.decode(ids, skip_special_tokens)}};
}

/// The row's members are the template's variables; the model's special tokens stand beside them.
Json chat(const text::Tokenizer& tokenizer, const text::ChatTemplate& chat_template,
          const Fields& row) {
  if (!row.has("messages")) fail_input(row.where(), "field \"messages\" is missing");
  Json variables = {{"tools", nullptr}, {"documents", nullptr}, {"add_generation_prompt", false}};
  const auto special = [&](const char* name, std::optional<int64_t> id) {
    if (id) variables[name] = tokenizer.token_of(*id);
  };
  special("bos_token", tokenizer.bos());
  special("eos_token", tokenizer.eos());
  special("pad_token", tokenizer.pad());
  special("unk_token", tokenizer.unknown());
  for (const auto& [name, value] : row.json().items()) variables[name] = value;
  const std::string text = chat_template.render(variables).text;
  return {{"text", text}, {"ids", tokenizer.encode(text)}};
}

text::ChatTemplate chat_template_of(const Arguments& arguments) {
  if (!arguments.chat_template.empty())
    return text::ChatTemplate::parse(read_file(arguments.chat_template), arguments.chat_template);
  const std::filesystem::path model = data::tokenizer_path(arguments.model);
  return text::ChatTemplate::load(std::filesystem::is_directory(model) ? model
                                                                       : model.parent_path());
}

Convert converter(const Arguments& arguments, const text::Tokenizer& tokenizer) {
  if (arguments.decode) {
    return [&](const Fields& row) { return decode(tokenizer, row, arguments.skip_special_tokens); };
  }
  if (arguments.chat) {
    return [&, chat_template = chat_template_of(arguments)](const Fields& row) {
      return chat(tokenizer, chat_template, row);
    };
  }
  return [&](const Fields& row) { return encode(tokenizer, row, !arguments.no_special_tokens); };
}

void tokenize(const Arguments& arguments) {
  const text::Tokenizer tokenizer = text::Tokenizer::load(data::tokenizer_path(arguments.model));
  const Convert convert = converter(arguments, tokenizer);
  data::RowReader reader(arguments.data);
  Output output(arguments.output);
  for (int64_t index = 0; const auto row = reader.next(); ++index) {
    Json line = {{"index", index}};
    try {
      line.update(convert(row->fields));
    } catch (const Error& error) {
      if (error.kind != Kind::input || error.where == row->fields.where()) throw;
      fail_input(row->fields.where(), error.what(), error.hint);
    }
    output.line(line.dump());
  }
  output.close();
}

}  // namespace

void add_tokenize(CLI::App& program) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command =
      add_command(program, "tokenize",
                  "guerdon tokenize --model models/tiny --data texts.jsonl --output ids.jsonl");
  command
      ->add_option("--model", arguments->model,
                   "Folder with tokenizer.json or a SentencePiece model, such a file, or a run")
      ->required();
  command
      ->add_option("--data", arguments->data,
                   "Rows {\"text\"}, with --decode {\"ids\"}, with --chat {\"messages\", ...}")
      ->required();
  command->add_option("-o,--output", arguments->output, "Where the rows go")->capture_default_str();
  CLI::Option* decode =
      command->add_flag("--decode", arguments->decode, "Ids to text: rows {\"index\", \"text\"}");
  CLI::Option* chat = command->add_flag("--chat", arguments->chat,
                                        "Conversations through the chat template: rows "
                                        "{\"index\", \"text\", \"ids\"}");
  command
      ->add_option("--chat-template", arguments->chat_template,
                   "A Jinja file in place of the model's own")
      ->needs(chat);
  command
      ->add_flag("--no-special-tokens", arguments->no_special_tokens,
                 "Leave out what the tokenizer puts around a text")
      ->excludes(decode)
      ->excludes(chat);
  command
      ->add_flag("--skip-special-tokens", arguments->skip_special_tokens,
                 "Leave special tokens out of the text")
      ->needs(decode);
  decode->excludes(chat);
  command->callback([arguments] { tokenize(*arguments); });
}

}  // namespace guerdon::cli
