/// Cuts a template into tokens, as Jinja2 does with trim_blocks and lstrip_blocks on.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace guerdon::text::jinja {

/// A place in a template, counted from 1; columns count code points.
struct Position {
  uint32_t line = 1, column = 1;
};

struct Token {
  enum class Kind : uint8_t {
    data,  ///< text outside tags
    variable_begin,
    variable_end,
    block_begin,
    block_end,
    name,
    text,  ///< a string literal, unescaped
    integer,
    real,
    symbol,  ///< an operator or bracket
    end,
  };
  Kind kind;
  Position position;
  std::string value;
};

/// Throws Error (Kind::input) with "NAME:LINE:COLUMN" when the text is not UTF-8 or a tag, string
/// or bracket is malformed.
std::vector<Token> tokenize(std::string_view source, const std::string& name);

/// "NAME:LINE:COLUMN".
std::string place_of(const std::string& name, Position position);

}  // namespace guerdon::text::jinja
