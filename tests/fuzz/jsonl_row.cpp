// Rows of JSON lines and of arrays, understood as far as any form goes: an Error or an example,
// never more.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "data/byte_source.h"
#include "guerdon/data/formats.h"
#include "guerdon/data/prompt_key.h"

namespace {

void read_all(const std::string& text, const std::string& name) {
  using namespace guerdon;
  try {
    data::RowReader reader(data::bytes_of(text), name, {.on_bad_row = data::OnBadRow::skip});
    data::RowFormat format;
    while (const auto row = reader.next()) {
      try {
        const auto example = format.read(*row);
        if (!example) continue;
        data::prompt_text(*example);
        data::row_json(*example, format.type());
        data::as_prompt(*example);
      } catch (const Error& error) {
        if (error.kind == Kind::bug) throw;
        reader.reject(error);
      }
    }
  } catch (const Error& error) {
    if (error.kind == Kind::bug) throw;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  const std::string text(reinterpret_cast<const char*>(bytes), size);
  read_all(text, "rows.jsonl");
  read_all(text, "rows.json");
  return 0;
}
