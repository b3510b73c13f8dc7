/// Chat templates: the subset of Jinja that model folders use, as Jinja2's immutable sandboxed
/// environment renders it (trim_blocks and lstrip_blocks on, loop controls on, no auto-escape).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "guerdon/base/json_reader.h"

namespace guerdon::text {

/// Limits on hostile templates; each is named in the error that it causes.
struct TemplateLimits {
  int64_t loop_turns = 1'000'000;  ///< of all loops together; also the elements of a list
  int64_t steps = 10'000'000;      ///< operations, or 64 bytes of text
  int64_t depth = 200;             ///< of brackets and blocks, and of calls
  int64_t output_bytes =
      int64_t{16}
      << 20;  ///< of the result and of each text; eight times that for all values at once
};

/// A rendered conversation.
///
/// Spans are counted as Transformers counts them: from what stands in the output when {% generation
/// %} begins. Inside a macro or a
/// {% set %} block, whose text comes into the output later, they are therefore not where the text
/// is; templates mark at the top.
struct Rendered {
  struct Span {
    int64_t begin, end;  ///< bytes of `text`
  };
  std::string text;
  std::vector<Span> assistant;  ///< what stands between {% generation %} and {% endgeneration %}
};

/// A parsed template. Immutable; any number of threads may render one.
class ChatTemplate {
 public:
  /// Throws Error (Kind::input) with "NAME:LINE:COLUMN: ..." when the template is malformed.
  static ChatTemplate parse(std::string_view source, const std::string& name,
                            const TemplateLimits& limits = {});
  /// The template of a model folder: chat_template.jinja, else "chat_template" of
  /// tokenizer_config.json (a string, or a list of {name, template}, of which `which` is taken; ""
  /// is "default"), else that of chat_template.json. Others than the default may also lie in
  /// additional_chat_templates/WHICH.jinja. Throws Error (Kind::input) when there is none.
  static ChatTemplate load(const std::filesystem::path& folder, const std::string& which = {});
  /// Whether the folder has one.
  static bool exists(const std::filesystem::path& folder);

  /// Renders with the members of the object `variables`: messages, tools, add_generation_prompt,
  /// bos_token, eos_token and whatever else the template asks for. `strftime_now(format)` reads the
  /// present time unless variables has "strftime_now_iso"
  /// ("2024-07-26T12:00:00").
  ///
  /// What Jinja2 has and this has not: other templates (extends, include, import), block and
  /// autoescape, the filter `random`, and integers past 64 bits. Throws Error (Kind::input):
  /// "NAME:LINE:COLUMN: ...", or for raise_exception(text) just the text, with an empty `where`.
  Rendered render(const Json& variables) const;

  bool has_generation_tags() const;
  const std::string& source() const;

 private:
  struct Implementation;
  explicit ChatTemplate(std::shared_ptr<const Implementation> implementation);
  std::shared_ptr<const Implementation> implementation_;
};

}  // namespace guerdon::text
