/// What tests of tokenizers share.
#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "guerdon/base/error.h"
#include "guerdon/text/tokenizer.h"

namespace guerdon::test {

/// Ranges as the Python library counts them: [[begin, end], ...] in characters.
inline std::vector<std::vector<int64_t>> character_ranges(
    const std::string& text, const std::vector<text::Encoding::Range>& ranges) {
  std::vector<int64_t> character_of_byte;
  int64_t count = 0;
  for (const char c : text) {
    if ((static_cast<unsigned char>(c) & 0xC0) != 0x80) ++count;
    character_of_byte.push_back(count - 1);
  }
  character_of_byte.push_back(count);
  std::vector<std::vector<int64_t>> out;
  for (const auto& [begin, end] : ranges) {
    out.push_back({character_of_byte.at(static_cast<size_t>(begin)),
                   character_of_byte.at(static_cast<size_t>(end))});
  }
  return out;
}

/// A row of expected values: "text", "ids", and what else is known of it.
inline void expect_case(const text::Tokenizer& tokenizer, const Json& row) {
  const auto text = row.at("text").get<std::string>();
  SCOPED_TRACE(show(text));
  const auto ids = row.at("ids").get<std::vector<int64_t>>();
  EXPECT_EQ(tokenizer.encode(text), ids);
  const text::Encoding encoding = tokenizer.encode_with_ranges(text);
  EXPECT_EQ(encoding.ids, ids);
  if (row.contains("offsets")) {
    EXPECT_EQ(character_ranges(text, encoding.ranges),
              row["offsets"].get<std::vector<std::vector<int64_t>>>());
  }
  if (row.contains("ids_with_special")) {
    EXPECT_EQ(tokenizer.encode(text, true), row["ids_with_special"].get<std::vector<int64_t>>());
  }
  EXPECT_EQ(tokenizer.decode(ids), row.at("decoded").get<std::string>());
  if (row.contains("decoded_skip_special")) {
    EXPECT_EQ(tokenizer.decode(ids, true), row["decoded_skip_special"].get<std::string>());
  }
}

/// The text of a tokenizer.json with a model, and no other component but those given.
inline Json tokenizer_json(Json model, Json components = Json::object()) {
  Json json = {{"version", "1.0"}, {"added_tokens", Json::array()}};
  json.update(components);
  json["model"] = std::move(model);
  return json;
}

/// Byte-level BPE with the byte alphabet, and merges of two bytes each.
inline Json byte_level_json(const std::vector<std::string>& merged_pairs = {}) {
  const std::string trained = text::train_bpe({}, {.vocabulary_size = 256});
  Json json = parse_json(trained, "trained");
  for (const std::string& pair : merged_pairs) {
    json["model"]["vocab"][pair] = json["model"]["vocab"].size();
    json["model"]["merges"].push_back({pair.substr(0, 1), pair.substr(1)});
  }
  return json;
}

}  // namespace guerdon::test
