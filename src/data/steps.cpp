#include "guerdon/data/steps.h"

#include "guerdon/base/error.h"

namespace guerdon::data {
namespace {

std::string trimmed(std::string text, const std::string& separator) {
  while (text.ends_with(separator)) text.resize(text.size() - separator.size());
  return text;
}

}  // namespace

std::vector<std::string> step_beginnings(const std::string& text, const std::string& separator) {
  GUERDON_CHECK(!separator.empty(), "step_beginnings: no separator");
  std::vector<std::string> out;
  size_t begin = 0;
  while (begin < text.size()) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    if (end > begin) out.push_back(text.substr(0, end));
    begin = end + separator.size();
  }
  return out;
}

std::vector<std::string> step_beginnings(std::span<const std::string> steps,
                                         const std::string& separator) {
  GUERDON_CHECK(!separator.empty(), "step_beginnings: no separator");
  std::vector<std::string> out;
  std::string text;
  for (const std::string& step : steps) {
    const bool divided = text.empty() || text.ends_with(separator) || step.starts_with(separator);
    text += (divided ? "" : separator) + step;
    out.push_back(trimmed(text, separator));
  }
  return out;
}

}  // namespace guerdon::data
