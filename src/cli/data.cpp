/// `guerdon data`: make, convert, split, inspect, lint and weigh data.
#include "cli/data.h"

#include <filesystem>

#include "cli/commands.h"
#include "guerdon/base/file.h"
#include "guerdon/data/model_folder.h"

namespace guerdon::cli {

void DataArguments::add_to(CLI::App* command) {
  command->add_option("--data", file, "JSON lines or a JSON array of rows, plain or gzip")
      ->required();
  command->add_option("--columns", columns, "Renamed columns, OURS=THEIRS")->delimiter(',');
  command->add_flag("--skip-bad-rows", skip_bad_rows,
                    "Leave out and count malformed rows, up to 1 %");
  command->add_flag("--keep-transcripts", keep_transcripts,
                    "Leave \"Human: ... Assistant: ...\" transcripts as plain text");
}

data::DataSource::Options DataArguments::options() const {
  data::DataSource::Options out;
  if (skip_bad_rows) out.read.on_bad_row = data::OnBadRow::skip;
  out.format.columns = columns;
  out.format.transcripts = !keep_transcripts;
  return out;
}

void EncodeArguments::add_to(CLI::App* command, bool model_required) {
  command
      ->add_option("--model", model, "Folder with tokenizer.json and its chat template, or a run's")
      ->required(model_required);
  command->add_option("--chat-template", chat_template,
                      "A Jinja file in place of the model's template");
  command->add_option("--max-length", max_length, "Tokens of a row, 1024 unless given")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 24));
  command->add_option("--truncation-mode", truncation_mode,
                      "filter, keep_start, keep_end or prompt_left; by default filter for reward "
                      "models, else keep_start");
  command->add_flag("--assistant-only-loss", assistant_only_loss, "Train assistant turns alone");
  command->add_flag("--whole-sequence-loss", whole_sequence_loss,
                    "Train prompts too (completion_only_loss=false)");
}

data::EncodeOptions EncodeArguments::options() const {
  data::EncodeOptions out{.assistant_only_loss = assistant_only_loss};
  if (whole_sequence_loss) out.completion_only_loss = false;
  return out;
}

data::TruncationMode EncodeArguments::mode(bool judging) const {
  if (!truncation_mode.empty())
    return data::truncation_mode(truncation_mode, "flag --truncation-mode");
  return judging ? data::TruncationMode::filter : data::TruncationMode::keep_start;
}

TextModel TextModel::load(const EncodeArguments& arguments) {
  const std::filesystem::path path = data::tokenizer_path(arguments.model);
  TextModel out{text::Tokenizer::load(path), std::nullopt};
  if (!arguments.chat_template.empty()) {
    out.chat_template =
        text::ChatTemplate::parse(read_file(arguments.chat_template), arguments.chat_template);
  } else if (std::filesystem::is_directory(path) && text::ChatTemplate::exists(path)) {
    out.chat_template = text::ChatTemplate::load(path);
  }
  return out;
}

void add_data(CLI::App& program) {
  CLI::App* data = add_command(program, "data", "guerdon data make --output data/words");
  data->require_subcommand(1);
  add_data_make(data);
  add_data_inspect(data);
  add_data_judge(data);
  add_data_lint(data);
  add_data_convert(data);
  add_data_split(data);
  add_data_strength(data);
}

}  // namespace guerdon::cli
