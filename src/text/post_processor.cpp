#include "text/post_processor.h"

#include "guerdon/base/error.h"
#include "text/unicode.h"
#include "text/vocabulary.h"

namespace guerdon::text {
namespace {

constexpr char32_t kByteSpace = 0x120;  // the space in the byte alphabet

/// Takes the spaces out of the ranges of tokens, but for the one that the pre-tokenizer added.
void trim(Processed& processed, bool prefix_was_added, const PostProcessor::TokenOf& token_of) {
  if (!processed.ranged) return;
  for (size_t i = 0; i < processed.encoding.ids.size(); ++i) {
    const std::string_view token = token_of(processed.encoding.ids[i]);
    const auto is_space = [](char32_t c) { return c == kByteSpace || unicode::is_space(c); };
    int leading = 0, trailing = 0;
    for (size_t at = 0; at < token.size() && is_space(unicode::next(token, at));) ++leading;
    for (size_t at = token.size(); at > 0 && is_space(unicode::previous(token, at));) ++trailing;
    auto begin = static_cast<size_t>(processed.encoding.ranges[i].begin),
         end = static_cast<size_t>(processed.encoding.ranges[i].end);
    const bool added = (i == 0 || begin == 0) && prefix_was_added && leading == 1;
    for (int n = added ? 0 : leading; n > 0 && begin < end; --n)
      unicode::next(processed.text, begin);
    for (int n = trailing; n > 0 && end > begin; --n) unicode::previous(processed.text, end);
    processed.encoding.ranges[i] = {static_cast<int64_t>(begin), static_cast<int64_t>(end)};
  }
}

void check_limit(const Processed& processed, const std::vector<int64_t>& ids) {
  if (ids.size() > processed.limit)
    fail_input("text",
               str("the tokenizer's post-processor gives it more than ", processed.limit, " ids"));
}

void surround(Processed& processed, const std::vector<int64_t>& before,
              const std::vector<int64_t>& behind) {
  auto& [ids, ranges] = processed.encoding;
  ids.insert(ids.begin(), before.begin(), before.end());
  ids.insert(ids.end(), behind.begin(), behind.end());
  check_limit(processed, ids);
  if (!processed.ranged) return;
  ranges.insert(ranges.begin(), before.size(), Encoding::Range{0, 0});
  ranges.insert(ranges.end(), behind.size(), Encoding::Range{0, 0});
}

class Surrounding final : public PostProcessor {
 public:
  Surrounding(std::vector<int64_t> before, std::vector<int64_t> behind)
      : before_(std::move(before)), behind_(std::move(behind)) {}
  void apply(Processed& processed, bool add_special_tokens, const TokenOf&) const override {
    if (add_special_tokens) surround(processed, before_, behind_);
  }

 private:
  std::vector<int64_t> before_, behind_;
};

class ByteLevel final : public PostProcessor {
 public:
  explicit ByteLevel(const Node& node)
      : prefix_(node.boolean_or("add_prefix_space", true)),
        trim_(node.boolean_or("trim_offsets", true)) {}
  void apply(Processed& processed, bool, const TokenOf& token_of) const override {
    if (trim_) trim(processed, prefix_, token_of);
  }

 private:
  bool prefix_, trim_;
};

/// ["token", id].
int64_t read_pair(const Node& node) {
  const std::vector<Node> parts = node.elements();
  if (parts.size() != 2) node.fail("must be a token and its id");
  return read_id(parts[1]);
}

class Roberta final : public PostProcessor {
 public:
  explicit Roberta(const Node& node)
      : first_(read_pair(node["cls"])),
        last_(read_pair(node["sep"])),
        prefix_(node.boolean_or("add_prefix_space", true)),
        trim_(node.boolean_or("trim_offsets", true)) {}
  void apply(Processed& processed, bool add_special_tokens,
             const TokenOf& token_of) const override {
    if (trim_) trim(processed, prefix_, token_of);
    if (add_special_tokens) surround(processed, {first_}, {last_});
  }

 private:
  int64_t first_, last_;
  bool prefix_, trim_;
};

/// "single": a list of special tokens and of the text itself.
class Template final : public PostProcessor {
 public:
  explicit Template(const Node& node) {
    constexpr size_t kMaxSpecials = 4096;
    size_t specials = 0;
    for (const Node& part : node["single"].elements()) {
      std::vector<int64_t> ids;
      if (part.has("Sequence")) {
        if (part["Sequence"].text_or("id", "A") != "A")
          part.fail("a template for single texts knows sequence A only");
        ++texts_;
      } else {
        const Node name = part["SpecialToken"]["id"];
        const Node tokens = node["special_tokens"];
        if (!tokens.has(name.text().c_str()))
          name.fail(str("special_tokens has no ", show(name.text())));
        for (const Node& id : tokens[name.text().c_str()]["ids"].elements())
          ids.push_back(read_id(id));
        specials += ids.size();
        if (specials > kMaxSpecials)
          part.fail(str("the template has more than ", kMaxSpecials, " special tokens"));
      }
      parts_.push_back({part.has("Sequence"), std::move(ids)});
    }
  }

  void apply(Processed& processed, bool add_special_tokens, const TokenOf&) const override {
    if (!add_special_tokens && texts_ == 1) return;
    Processed out;
    for (const Part& part : parts_) {
      const auto& [ids, ranges] = processed.encoding;
      if (part.is_text) {
        out.encoding.ids.insert(out.encoding.ids.end(), ids.begin(), ids.end());
        out.encoding.ranges.insert(out.encoding.ranges.end(), ranges.begin(), ranges.end());
      } else if (add_special_tokens) {
        out.encoding.ids.insert(out.encoding.ids.end(), part.ids.begin(), part.ids.end());
        if (processed.ranged)
          out.encoding.ranges.insert(out.encoding.ranges.end(), part.ids.size(),
                                     Encoding::Range{0, 0});
      }
      check_limit(processed, out.encoding.ids);
    }
    processed.encoding = std::move(out.encoding);
  }

 private:
  struct Part {
    bool is_text;
    std::vector<int64_t> ids;
  };
  std::vector<Part> parts_;
  int texts_ = 0;
};

class Sequence final : public PostProcessor {
 public:
  explicit Sequence(const Node& node) {
    for (const Node& part : node["processors"].elements())
      parts_.push_back(read_post_processor(part));
  }
  void apply(Processed& processed, bool add_special_tokens,
             const TokenOf& token_of) const override {
    for (const auto& part : parts_) part->apply(processed, add_special_tokens, token_of);
  }

 private:
  std::vector<std::unique_ptr<PostProcessor>> parts_;
};

}  // namespace

std::unique_ptr<PostProcessor> surrounding_tokens(std::vector<int64_t> before,
                                                  std::vector<int64_t> behind) {
  return std::make_unique<Surrounding>(std::move(before), std::move(behind));
}

std::unique_ptr<PostProcessor> read_post_processor(const Node& node) {
  const std::string type = node.type();
  if (type == "TemplateProcessing") return std::make_unique<Template>(node);
  if (type == "ByteLevel") return std::make_unique<ByteLevel>(node);
  if (type == "RobertaProcessing") return std::make_unique<Roberta>(node);
  if (type == "BertProcessing")
    return surrounding_tokens({read_pair(node["cls"])}, {read_pair(node["sep"])});
  if (type == "Sequence") return std::make_unique<Sequence>(node);
  node["type"].fail(str("no such post-processor: ", show(type)));
}

}  // namespace guerdon::text
