#include "guerdon/text/chat_template.h"

#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"
#include "text/jinja_evaluator.h"
#include "text/jinja_names.h"
#include "text/jinja_parser.h"

namespace guerdon::text {

struct ChatTemplate::Implementation {
  std::string name, source;
  TemplateLimits limits;
  jinja::Tree tree;
};

ChatTemplate::ChatTemplate(std::shared_ptr<const Implementation> implementation)
    : implementation_(std::move(implementation)) {}

ChatTemplate ChatTemplate::parse(std::string_view source, const std::string& name,
                                 const TemplateLimits& limits) {
  auto implementation = std::make_shared<Implementation>(
      Implementation{name, std::string(source), limits, jinja::parse(source, name, limits.depth)});
  jinja::resolve_names(implementation->tree, name);
  return ChatTemplate(std::move(implementation));
}

Rendered ChatTemplate::render(const Json& variables) const {
  if (!variables.is_object())
    fail_input(implementation_->name, "the variables of a template must be a JSON object");
  jinja::Heap heap(implementation_->limits);
  try {
    return jinja::Evaluator(implementation_->tree, variables, heap).run();
  } catch (const jinja::Fault& fault) {
    fail_input(jinja::place_of(implementation_->name, {fault.line, fault.column}), fault.message);
  }
}

bool ChatTemplate::has_generation_tags() const { return implementation_->tree.has_generation; }
const std::string& ChatTemplate::source() const { return implementation_->source; }

}  // namespace guerdon::text
