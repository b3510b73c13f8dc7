/// Is the answer right? Plain forms: equal texts, equal numbers. Bounded work on any text.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace guerdon::rules {

/// Content of the last \boxed{...} with balanced braces, without surrounding blanks.
std::optional<std::string> boxed_answer(std::string_view response);

/// The number that a text is: 12, -3.5, 1,234, 63/400, \frac{63}{400}, 40%, $5, with blanks, \( \),
/// a unit of currency or a final full stop around it. nullopt when it is anything else.
std::optional<double> number_of(std::string_view text);

/// The last number inside a text ("... so 3 + 4 = 7 apples." gives 7).
std::optional<double> last_number(std::string_view response);

/// Equal to 1e-9 relative.
bool same_number(double a, double b);

/// Equal apart from blanks at the ends, runs of blanks, and the case of ASCII letters.
bool same_text(std::string_view a, std::string_view b);

}  // namespace guerdon::rules
