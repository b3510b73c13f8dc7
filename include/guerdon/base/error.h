/// Errors: one class, whose kind is the exit code, and whose text is the line that a user reads.
/// Header-only, so that the operator library can use it without the rest of `base`.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace guerdon {

/// Whose fault it was; the value is what the command line returns.
enum class Kind { bug = 1, settings = 2, input = 3, surroundings = 4, stopped = 5 };

/// All that guerdon throws on purpose. `what()` is the line a user reads, "WHERE: WHAT IS WRONG".
class Error : public std::runtime_error {
 public:
  Error(Kind kind, const std::string& where, const std::string& what, const std::string& hint = {})
      : std::runtime_error(where.empty() ? what : where + ": " + what),
        kind(kind),
        where(where),
        hint(hint) {}

  const Kind kind;
  const std::string where;  ///< "FILE:LINE", "FILE: key a.b[0].c", "flag --x", or a function
  const std::string hint;   ///< the way out, may be empty
};

/// The pieces streamed one after the other: str("step ", 3, " of ", n).
template <class... Pieces>
std::string str(const Pieces&... pieces) {
  std::ostringstream out;
  (out << ... << pieces);
  return out.str();
}

/// The command line or the configuration is wrong (exit code 2).
[[noreturn]] inline void fail_settings(const std::string& where, const std::string& what,
                                       const std::string& hint = {}) {
  throw Error(Kind::settings, where, what, hint);
}

/// A file that came from outside is wrong (exit code 3).
[[noreturn]] inline void fail_input(const std::string& where, const std::string& what,
                                    const std::string& hint = {}) {
  throw Error(Kind::input, where, what, hint);
}

/// Disk, memory, permission or device (exit code 4).
[[noreturn]] inline void fail_surroundings(const std::string& where, const std::string& what,
                                           const std::string& hint = {}) {
  throw Error(Kind::surroundings, where, what, hint);
}

/// A guard stopped the run (exit code 5).
[[noreturn]] inline void fail_stopped(const std::string& where, const std::string& what,
                                      const std::string& hint = {}) {
  throw Error(Kind::stopped, where, what, hint);
}

/// A value from the input as error texts show it: in double quotes, control characters and invalid
/// UTF-8 escaped, cut at 80 characters.
std::string show(std::string_view value);

/// The candidate nearest to `name` by edit distance, or "" when none is near (more than a third of
/// the name away).
std::string nearest(std::string_view name, const std::vector<std::string>& candidates);

/// ` (did you mean "weight"?)` or "": ready to be appended to an error text.
std::string did_you_mean(std::string_view name, const std::vector<std::string>& candidates);

namespace detail {
template <class... Pieces>
[[noreturn]] void fail(const char* file, int line, const Pieces&... pieces) {
  const std::string_view path(file);
  const size_t source = path.find("src/");
  throw Error(
      Kind::bug,
      ::guerdon::str(source == std::string_view::npos ? path : path.substr(source), ":", line),
      ::guerdon::str(pieces...), "this is a fault of guerdon's own; please report it");
}
}  // namespace detail

/// A contract between functions, always on: Kind::bug. What a user can cause is refused earlier, by
/// fail_settings and fail_input.
#define GUERDON_CHECK(condition, ...)                           \
  do {                                                          \
    if (!(condition)) [[unlikely]]                              \
      ::guerdon::detail::fail(__FILE__, __LINE__, __VA_ARGS__); \
  } while (false)

}  // namespace guerdon
