#include "support/data.h"

#include <cstdlib>

namespace guerdon::test {
namespace fs = std::filesystem;

fs::path source_folder() { return GUERDON_SOURCE_DIR; }
fs::path program() { return GUERDON_PROGRAM; }
fs::path fixture(const std::string& name) { return source_folder() / "tests" / "fixtures" / name; }

fs::path data_folder() {
  const char* folder = std::getenv("GUERDON_DATA");
  return folder ? fs::path(folder) : source_folder() / ".." / "shared" / "data";
}

}  // namespace guerdon::test
