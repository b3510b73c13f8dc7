// Links guerdon::base: the ground floor works without LibTorch.
#include <iostream>

#include "guerdon/base/error.h"
#include "guerdon/base/version.h"

int main() {
  std::cout << "guerdon " << guerdon::version() << ' ' << guerdon::show("a\nb") << '\n';
  return guerdon::show("a\nb") == "\"a\\nb\"" ? 0 : 1;
}
