#include "text/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>

#include "guerdon/base/error.h"
#include "text/unicode.h"

namespace guerdon::text {
namespace {

constexpr size_t kMaxPatternBytes = size_t{64} << 10;
// A search looks at a short window of the text and has a small limit, which is what most matches
// need. When the matcher looks past the window, or reaches the limit, it goes on place by place
// with more, and is charged for that.
constexpr size_t kFirstWindow = 1024;
constexpr uint32_t kFirstLimit = 500;
constexpr size_t kJitStack = size_t{1} << 20;

size_t boundary(std::string_view text, size_t at) {
  while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) ++at;
  return std::min(at, text.size());
}

}  // namespace

struct MatchSpace::Buffers {
  pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  pcre2_jit_stack* stack = pcre2_jit_stack_create(size_t{32} << 10, kJitStack, nullptr);

  Buffers() {
    GUERDON_CHECK(data && context && stack, "PCRE2: out of memory");
    pcre2_jit_stack_assign(context, nullptr, stack);
  }
  ~Buffers() {
    pcre2_match_data_free(data);
    pcre2_match_context_free(context);
    pcre2_jit_stack_free(stack);
  }
  Buffers(const Buffers&) = delete;
  Buffers& operator=(const Buffers&) = delete;
};

MatchSpace::MatchSpace() = default;
MatchSpace::~MatchSpace() = default;
void MatchSpace::refill(size_t bytes) { steps_ = 20'000'000 + 100 * static_cast<uint64_t>(bytes); }
MatchSpace::Buffers& MatchSpace::buffers() {
  if (!buffers_) buffers_ = std::make_unique<Buffers>();
  return *buffers_;
}

struct Pattern::Code {
  pcre2_code* search;  // a match anywhere
  pcre2_code* here;    // a match at the start of the search (JIT code is anchored when it is
                       // compiled, or not at all)

  ~Code() {
    pcre2_code_free(search);
    pcre2_code_free(here);
  }
};

Pattern Pattern::literal(std::string text) {
  Pattern pattern;
  pattern.literal_ = std::move(text);
  return pattern;
}

Pattern Pattern::regex(const std::string& oniguruma, const std::string& where) {
  if (oniguruma.size() > kMaxPatternBytes)
    fail_input(where, str("the pattern is longer than ", kMaxPatternBytes, " bytes"));
  const std::string source = pcre2_syntax(oniguruma, where);
  Pattern pattern;
  pattern.source_ = oniguruma;
  pattern.where_ = where;
  const auto code = std::make_shared<Code>();
  code->search = compile(source, 0, pattern);
  code->here = compile(source, PCRE2_ANCHORED, pattern);
  pattern.code_ = code;
  return pattern;
}

pcre2_real_code_8* Pattern::compile(const std::string& pcre2, uint32_t options,
                                    const Pattern& pattern) {
  std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(
      pcre2_compile_context_create(nullptr), &pcre2_compile_context_free);
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pcre2.data()), pcre2.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C | options,
                    &error, &offset, context.get());
  if (!code) {
    char message[256] = {};
    pcre2_get_error_message(error, reinterpret_cast<PCRE2_UCHAR*>(message), sizeof message);
    fail_input(pattern.where_,
               str("the pattern ", show(pattern.source_), " does not compile: ", message));
  }
  // Without a JIT compiler PCRE2 interprets: slower, same answers.
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD);
  return code;
}

bool Pattern::find_from(std::string_view text, size_t at, MatchSpace& space, Piece& match) const {
  MatchSpace::Buffers& buffers = space.buffers();
  size_t window = kFirstWindow;
  uint32_t limit = kFirstLimit;
  size_t careful_until = 0;  // a place before it needs more than the first limit
  const auto charge = [&](uint64_t steps) {
    if (steps > space.steps_)
      fail_input(where_, str("the pattern ", show(source_), " takes too many steps on this text"));
    space.steps_ -= steps;
  };
  while (at <= text.size()) {
    const bool cheap = window == kFirstWindow && limit == kFirstLimit && at >= careful_until;
    const size_t end = boundary(text, std::min(text.size(), at + window));
    pcre2_set_match_limit(buffers.context, limit);
    const int found =
        pcre2_match(cheap ? code_->search : code_->here, reinterpret_cast<PCRE2_SPTR>(text.data()),
                    end, at, PCRE2_NO_UTF_CHECK | (end < text.size() ? PCRE2_PARTIAL_HARD : 0),
                    buffers.data, buffers.context);
    if (found >= 0) {
      const PCRE2_SIZE* range = pcre2_get_ovector_pointer(buffers.data);
      match = {range[0], std::max(range[0], range[1])};
      return true;
    }
    switch (found) {
      case PCRE2_ERROR_NOMATCH:
        if (end == text.size() && (cheap || at == end)) return false;
        at = cheap ? end : boundary(text, at + 1);
        window = kFirstWindow;
        limit = kFirstLimit;
        break;
      case PCRE2_ERROR_PARTIAL:  // nothing matches before the place where the matcher looked past
                                 // the window
        at = std::max<size_t>(at, pcre2_get_startchar(buffers.data));
        window *= 2;
        charge(window);
        break;
      case PCRE2_ERROR_MATCHLIMIT:
        if (cheap) {
          careful_until = end;
          break;
        }
        limit = limit > UINT32_MAX / 8 ? UINT32_MAX : limit * 8;
        charge(limit);
        break;
      default: charge(UINT64_MAX);  // the stack, the heap: more than any honest pattern needs
    }
  }
  return false;
}

void Pattern::find_all(std::string_view text, MatchSpace& space, std::vector<Piece>& found) const {
  if (!code_) {
    if (literal_.empty()) return;
    for (size_t at = text.find(literal_); at != std::string_view::npos;
         at = text.find(literal_, at + literal_.size()))
      found.push_back({at, at + literal_.size()});
    return;
  }
  size_t at = 0;
  size_t last_end = std::string_view::npos;
  Piece match{};
  while (find_from(text, at, space, match)) {
    if (match.begin == match.end && match.end == last_end) {
      if (at >= text.size()) return;
      unicode::next(text, at);
      continue;
    }
    found.push_back(match);
    at = last_end = match.end;
  }
}

}  // namespace guerdon::text
