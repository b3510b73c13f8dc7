/// The commands inside `guerdon data`, one file each.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "guerdon/data/encode.h"
#include "guerdon/data/source.h"
#include "guerdon/data/truncation.h"

namespace guerdon::cli {

void add_data_make(CLI::App* data);
void add_data_convert(CLI::App* data);
void add_data_inspect(CLI::App* data);
void add_data_judge(CLI::App* data);
void add_data_lint(CLI::App* data);
void add_data_split(CLI::App* data);
void add_data_strength(CLI::App* data);

/// How a command reads a data file; the same options everywhere.
struct DataArguments {
  std::string file;
  std::vector<std::string> columns;
  bool skip_bad_rows = false;
  bool keep_transcripts = false;

  void add_to(CLI::App* command);
  data::DataSource::Options options() const;
};

/// How rows become tokens; the same options wherever tokens are looked at.
struct EncodeArguments {
  std::string model, chat_template, truncation_mode;
  std::optional<int64_t> max_length;
  bool assistant_only_loss = false, whole_sequence_loss = false;

  void add_to(CLI::App* command, bool model_required);
  data::EncodeOptions options() const;
  /// What was asked for, or TRL's defaults: 1024; filter for judging, keep_start else.
  int64_t length() const { return max_length.value_or(1024); }
  data::TruncationMode mode(bool judging) const;
};

/// The tokenizer of a model folder with its chat template, which may be missing.
struct TextModel {
  text::Tokenizer tokenizer;
  std::optional<text::ChatTemplate> chat_template;

  static TextModel load(const EncodeArguments& arguments);
  const text::ChatTemplate* chat() const { return chat_template ? &*chat_template : nullptr; }
};

}  // namespace guerdon::cli
