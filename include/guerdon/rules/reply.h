/// What a program outside answers when it is asked for a score.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace guerdon::rules {

struct Reply {
  std::optional<double> score;  ///< empty: no opinion; finite as float32 otherwise
  std::string note;
};

/// A line of JSON: a number, null (no opinion), or {"score": number or null, "note": "..."}. Throws
/// Error (Kind::input) for anything else, and with the program's own words for {"error": ...}.
Reply read_reply(std::string_view line);

}  // namespace guerdon::rules
