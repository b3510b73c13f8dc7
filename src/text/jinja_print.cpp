#include "text/jinja_print.h"

#include <charconv>
#include <cmath>
#include <cstdio>

#include "text/jinja_nesting.h"
#include "text/jinja_unicode.h"

namespace guerdon::text::jinja {
namespace {

void represent_items(Heap& heap, std::string& out, const std::vector<Value>& items) {
  const char* separator = "";
  for (const Value& item : items) {
    out += separator;
    represent(heap, out, item);
    separator = ", ";
  }
}

void represent_dict(Heap& heap, std::string& out, const Dict& dict) {
  const char* separator = "{";
  for (const auto& [key, value] : dict.entries()) {
    out += separator;
    represent(heap, out, key);
    out += ": ";
    represent(heap, out, value);
    separator = ", ";
  }
  out += dict.entries().empty() ? "{}" : "}";
}

void represent_range(std::string& out, const Range& range) {
  out += str("range(", range.start, ", ", range.stop);
  if (range.step != 1) out += str(", ", range.step);
  out += ")";
}

void represent_view(Heap& heap, std::string& out, const Value& value) {
  const View& view = value.object<View>();
  const char* separator = "";
  out += type_name(value);
  out += "([";
  for (const auto& [key, value] : view.source.dict().entries()) {
    out += separator;
    separator = ", ";
    if (view.kind == View::Kind::keys) represent(heap, out, key);
    if (view.kind == View::Kind::values) represent(heap, out, value);
    if (view.kind == View::Kind::items) {
      out += "(";
      represent(heap, out, key);
      out += ", ";
      represent(heap, out, value);
      out += ")";
    }
  }
  out += "])";
}

}  // namespace

std::string real_text(double number) {
  if (std::isnan(number)) return "nan";
  if (std::isinf(number)) return number < 0 ? "-inf" : "inf";
  char digits[40];
  auto* const end =
      std::to_chars(digits, digits + sizeof digits, number, std::chars_format::scientific).ptr;
  std::string mantissa(digits, end);
  const size_t e = mantissa.find('e');
  const int exponent = std::atoi(mantissa.c_str() + e + 1);
  if (exponent < -4 || exponent >= 16) {
    // "1.5e+16" and "1e-05": to_chars writes the exponent just so.
    return mantissa;
  }
  char plain[400];
  auto* const plain_end =
      std::to_chars(plain, plain + sizeof plain, number, std::chars_format::fixed).ptr;
  std::string out(plain, plain_end);
  return out.find('.') == std::string::npos ? out + ".0" : out;
}

std::string quote(std::string_view text, bool ascii_only) {
  const bool single =
      text.find('\'') == std::string_view::npos || text.find('"') != std::string_view::npos;
  const char mark = single ? '\'' : '"';
  std::string out(1, mark);
  while (!text.empty()) {
    const size_t bytes = character_bytes(text);
    const char32_t c = first_character(text);
    char escaped[16] = "";
    if (c == static_cast<char32_t>(mark) || c == '\\') {
      out += '\\';
      out += text[0];
    } else if (c == '\n' || c == '\r' || c == '\t') {
      out += c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t";
    } else if (c < 0x20 || c == 0x7F || (c > 0x7F && (ascii_only || !is_printable(c)))) {
      std::snprintf(escaped, sizeof escaped,
                    c < 0x100     ? "\\x%02x"
                    : c < 0x10000 ? "\\u%04x"
                                  : "\\U%08x",
                    static_cast<unsigned>(c));
      out += escaped;
    } else {
      out += text.substr(0, bytes);
    }
    text.remove_prefix(bytes);
  }
  return out + mark;
}

void represent(Heap& heap, std::string& out, const Value& value) {
  const Nested nested(heap.printing(), kMaxValueDepth, "printed values");
  heap.step();
  switch (value.type()) {
    case Type::text: {
      heap.step_bytes(value.as_text().size());
      const std::string quoted = quote(value.as_text());
      out += value.is_safe_text() ? "Markup(" + quoted + ")" : quoted;
      break;
    }
    case Type::undefined: out += "Undefined"; break;
    case Type::list:
      out += "[";
      represent_items(heap, out, value.items());
      out += "]";
      break;
    case Type::tuple:
      out += "(";
      represent_items(heap, out, value.items());
      out += value.items().size() == 1 ? ",)" : ")";
      break;
    case Type::dict: represent_dict(heap, out, value.dict()); break;
    case Type::range: represent_range(out, value.object<Range>()); break;
    case Type::view: represent_view(heap, out, value); break;
    case Type::iterator: out += str("<", value.object<Iterator>().type_name(), " object>"); break;
    case Type::host: out += value.object<Host>().describe(heap); break;
    default: print(heap, out, value);
  }
  heap.check_bytes(out.size());
}

void print(Heap& heap, std::string& out, const Value& value) {
  switch (value.type()) {
    case Type::missing:
    case Type::undefined: return;
    case Type::none: out += "None"; return;
    case Type::boolean: out += value.as_boolean() ? "True" : "False"; return;
    case Type::integer: out += std::to_string(value.as_integer()); return;
    case Type::real: out += real_text(value.as_real()); return;
    case Type::text:
      heap.step_bytes(value.as_text().size());
      heap.check_bytes(out.size() + value.as_text().size());
      out += value.as_text();
      return;
    default: represent(heap, out, value);
  }
}

std::string printed(Heap& heap, const Value& value) {
  std::string out;
  print(heap, out, value);
  return out;
}

Value as_text_value(Heap& heap, const Value& value) {
  return value.is(Type::text) ? value : heap.text(printed(heap, value));
}

std::string represented(Heap& heap, const Value& value) {
  std::string out;
  represent(heap, out, value);
  return out;
}

std::string type_name(const Value& value) {
  switch (value.type()) {
    case Type::missing:
    case Type::undefined: return "Undefined";
    case Type::none: return "NoneType";
    case Type::boolean: return "bool";
    case Type::integer: return "int";
    case Type::real: return "float";
    case Type::text: return value.is_safe_text() ? "Markup" : "str";
    case Type::list: return "list";
    case Type::tuple: return "tuple";
    case Type::dict: return "dict";
    case Type::range: return "range";
    case Type::view:
      switch (value.object<View>().kind) {
        case View::Kind::keys: return "dict_keys";
        case View::Kind::values: return "dict_values";
        case View::Kind::items: return "dict_items";
      }
      return "";
    case Type::iterator: return value.object<Iterator>().type_name();
    case Type::host: return value.object<Host>().type_name();
  }
  return "";
}

}  // namespace guerdon::text::jinja
