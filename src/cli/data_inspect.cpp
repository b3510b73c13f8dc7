/// `guerdon data inspect`: every token with its role, whether it is trained, and its weight.
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/data.h"
#include "cli/output.h"
#include "guerdon/base/error.h"

namespace guerdon::cli {
namespace {

struct Arguments {
  DataArguments data;
  EncodeArguments encode;
  std::string as = "auto";
  int64_t row = 0, rows = 1;
  bool json = false;
};

/// A sequence and what it is of its row.
struct Part {
  std::string name;
  data::EncodedSequence sequence;
};

std::string outcome(data::Cut cut) {
  switch (cut) {
    case data::Cut::whole: return "fits";
    case data::Cut::cut: return "is cut";
    case data::Cut::too_long: return "is dropped: too long";
    case data::Cut::prompt_fills: return "is dropped: its prompt fills max_length";
    case data::Cut::nothing_trained: return "is dropped: the cut leaves nothing to train";
    case data::Cut::difference_cut_off:
      return "is dropped: the cut makes chosen and rejected equal";
  }
  GUERDON_CHECK(false, "unknown outcome of truncation");
}

std::string trainer_of(const Arguments& arguments, data::DatasetType type) {
  if (arguments.as != "auto") return arguments.as;
  if (type == data::DatasetType::preference) return "reward";
  return type == data::DatasetType::prompt_only ? "prompt" : "sft";
}

data::Cut encode(const Arguments& arguments, const std::string& trainer,
                 const data::Encoder& encoder, const Example& example, std::vector<Part>& parts) {
  const int64_t length = arguments.encode.length();
  const data::TruncationMode mode = arguments.encode.mode(trainer == "reward");
  if (trainer == "prompt") {
    data::EncodedSequence prompt;
    prompt.tokens = encoder.prompt(data::as_prompt(example).prompt, example.fields);
    const data::Cut cut = data::truncate_prompt(prompt.tokens, length);
    prompt.trained.assign(prompt.tokens.size(), 0);
    prompt.roles.assign(prompt.tokens.size(), data::TokenRole::prompt);
    parts.push_back({"prompt", std::move(prompt)});
    return cut;
  }
  if (trainer == "sft") {
    parts.push_back({"sequence", encoder.supervised(example)});
    return data::truncate(parts[0].sequence, length, mode);
  }
  if (example.responses.size() != 2) {
    fail_input(example.fields.where(),
               "is not a preference pair, which --as " + trainer + " needs");
  }
  data::EncodedPair pair =
      trainer == "dpo" ? encoder.preference(example) : encoder.reward_pair(example);
  const data::Cut cut = data::truncate(pair, length, mode);
  parts.push_back({"chosen", std::move(pair.chosen)});
  parts.push_back({"rejected", std::move(pair.rejected)});
  return cut;
}

void print_tokens(const Part& part, const std::string& trainer, const TextModel& model,
                  Output& output) {
  const data::EncodedSequence& s = part.sequence;
  // A reward model is trained by the score at its last token; elsewhere a trained token is a
  // target, which the token before it predicts, so that the first never is one.
  const auto is_target = [&](size_t i) {
    return trainer == "reward" ? i + 1 == s.tokens.size() : i > 0 && s.trained[i] != 0;
  };
  output.line(str("  ", part.name, ": ", s.tokens.size(), " tokens, prompt ", s.prompt_length));
  output.line("    position       id  role        target  weight  text");
  for (size_t i = 0; i < s.tokens.size(); ++i) {
    char columns[96];
    std::snprintf(columns, sizeof columns, "    %8zu %8lld  %-10s  %-6s  %6.1f  ", i,
                  static_cast<long long>(s.tokens[i]), data::name_of(s.roles[i]).c_str(),
                  is_target(i) ? "yes" : "-", is_target(i) ? 1.0 : 0.0);
    output.line(columns + show(model.tokenizer.decode(std::vector<int64_t>{s.tokens[i]})));
  }
}

Json json_tokens(const Part& part, const TextModel& model) {
  Json texts = Json::array(), roles = Json::array();
  for (const int64_t id : part.sequence.tokens)
    texts.push_back(model.tokenizer.decode(std::vector<int64_t>{id}));
  for (const data::TokenRole role : part.sequence.roles) roles.push_back(data::name_of(role));
  return {{"tokens", part.sequence.tokens},
          {"texts", texts},
          {"roles", roles},
          {"trained", part.sequence.trained},
          {"prompt_length", part.sequence.prompt_length}};
}

void run_inspect(const Arguments& arguments) {
  const data::DataSource source(arguments.data.file, arguments.data.options());
  const TextModel model = TextModel::load(arguments.encode);
  data::EncodeOptions options = arguments.encode.options();
  options.roles = true;
  const data::Encoder encoder(model.tokenizer, model.chat(), options);
  const std::string trainer = trainer_of(arguments, source.type());
  if (arguments.row >= source.size()) {
    fail_settings("flag --row", str("must be below ", source.size(), ", the number of rows, got ",
                                    arguments.row));
  }
  Output output("-");
  const int64_t end = std::min(source.size(), arguments.row + arguments.rows);
  for (int64_t row = arguments.row; row < end; ++row) {
    const Example example = source.at(row);
    std::vector<Part> parts;
    const data::Cut cut = encode(arguments, trainer, encoder, example, parts);
    if (arguments.json) {
      Json line = {{"where", example.fields.where()},
                   {"id", example.id},
                   {"as", trainer},
                   {"outcome", outcome(cut)}};
      for (const Part& part : parts) line[part.name] = json_tokens(part, model);
      output.line(line.dump(-1, ' ', false, Json::error_handler_t::replace));
      continue;
    }
    output.line(str(example.fields.where(), ": ", source.form(), ", as ", trainer, ": the row ",
                    outcome(cut)));
    for (const Part& part : parts) print_tokens(part, trainer, model, output);
  }
  output.close();
}

}  // namespace

void add_data_inspect(CLI::App* data) {
  auto arguments = std::make_shared<Arguments>();
  CLI::App* command =
      add_subcommand(data, "inspect", "Show every token with its role, target and weight",
                     "guerdon data inspect --data pairs.jsonl --model models/tiny --rows 2");
  arguments->data.add_to(command);
  arguments->encode.add_to(command, true);
  command
      ->add_option("--as", arguments->as,
                   "Which trainer reads the row: sft, reward, dpo, prompt; auto goes by the data")
      ->check(CLI::IsMember({"auto", "sft", "reward", "dpo", "prompt"}))
      ->capture_default_str();
  command->add_option("--row", arguments->row, "First row, from 0")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--rows", arguments->rows, "How many")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_flag("--json", arguments->json, "One object a row");
  command->callback([arguments] { run_inspect(*arguments); });
}

}  // namespace guerdon::cli
