/// Private to `data`: the forms that rows come in, and how each is read.
#pragma once

#include <span>

#include "data/columns.h"

namespace guerdon::data {

struct Form {
  const char* columns;  // as error texts list them
  DatasetType type;
  bool (*matches)(const Columns&);
  Example (*read)(Columns&);
};

/// In the order in which they are tried.
std::span<const Form> forms();

/// The index in forms() of the first that matches. Throws Error (Kind::input), with all of them,
/// when none does.
int form_of(const Columns& columns);

}  // namespace guerdon::data
