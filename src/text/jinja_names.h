/// Decides, before a template runs, where each of its variables lives.
#pragma once

#include "text/jinja_ast.h"

namespace guerdon::text::jinja {

/// Fills in slots and scopes by Jinja2's rules: a variable belongs to the innermost scope that
/// stores it; scopes are those of loops, macros, calls, {% with %}, {% filter %} and {% set %}
/// blocks; what no scope knows is asked of the caller of the template. Throws Error (Kind::input,
/// "NAME:LINE:COLUMN") for an unknown filter or test, a misplaced break, or a loop variable called
/// `loop`.
void resolve_names(Tree& tree, const std::string& name);

}  // namespace guerdon::text::jinja
