/// The one strict JSON reader, for settings, data, tokenizers, model headers and manifests alike.
#pragma once

#include <cstddef>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace guerdon {

/// Keys keep the order in which the text has them: chat templates print tool schemas in that order.
using Json = nlohmann::ordered_json;

struct JsonLimits {
  size_t depth = 256;               ///< nested arrays and objects
  size_t bytes = size_t{64} << 20;  ///< length of the text
  bool comments = false;            ///< // and /* */: settings only, never data
};

/// Parses one JSON value: RFC 8259 without exceptions (no NaN, no trailing comma, no duplicate key,
/// well-formed UTF-8, no lone surrogate, numbers inside double). Not recursive: depth costs memory,
/// not stack.
///
/// `where` names the text in errors. With `line` > 0 the text is that line of a file and errors
/// read "where:LINE"; otherwise they read "where:LINE:COLUMN" counted inside the text. Throws Error
/// (Kind::input).
Json parse_json(std::string_view text, const std::string& where, size_t line = 0,
                const JsonLimits& limits = {});

/// Reads and parses a file. Throws Error: Kind::input when it is missing or malformed.
Json read_json(const std::filesystem::path& file, const JsonLimits& limits = {});

/// A double as JSON text that reads back to the same bits ("null" when not finite).
std::string json_number(double value);

/// `text` as a JSON string with its quotes, without escaping what needs no escape. Bytes that are
/// not UTF-8 become U+FFFD.
std::string json_string(std::string_view text);

}  // namespace guerdon
