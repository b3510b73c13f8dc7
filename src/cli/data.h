/// The commands inside `guerdon data`, one file each.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "guerdon/data/source.h"

namespace guerdon::cli {

void add_data_make(CLI::App* data);
void add_data_convert(CLI::App* data);
void add_data_split(CLI::App* data);

/// How a command reads a data file; the same options everywhere.
struct DataArguments {
  std::string file;
  std::vector<std::string> columns;
  bool skip_bad_rows = false;
  bool keep_transcripts = false;

  void add_to(CLI::App* command);
  data::DataSource::Options options() const;
};

}  // namespace guerdon::cli
