/// `guerdon data`: make, convert, split, inspect and lint data.
#include "cli/data.h"

#include "cli/commands.h"

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

void add_data(CLI::App& program) {
  CLI::App* data = add_command(program, "data", "guerdon data make --output data/words");
  data->require_subcommand(1);
  add_data_make(data);
  add_data_convert(data);
  add_data_split(data);
}

}  // namespace guerdon::cli
