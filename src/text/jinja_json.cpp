#include "text/jinja_json.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "text/jinja_operations.h"
#include "text/jinja_print.h"
#include "text/jinja_unicode.h"

namespace guerdon::text::jinja {
namespace {

class JsonWriter {
 public:
  JsonWriter(Heap& heap, const JsonStyle& style) : heap_(heap), style_(style) {}

  void write(const Value& value) {
    heap_.step();
    switch (value.type()) {
      case Type::none: out_ += "null"; break;
      case Type::boolean: out_ += value.as_boolean() ? "true" : "false"; break;
      case Type::integer: out_ += std::to_string(value.as_integer()); break;
      case Type::real: out_ += number(value.as_real()); break;
      case Type::text: write_text(value.as_text()); break;
      case Type::list:
      case Type::tuple: write_list(value.items()); break;
      case Type::dict: write_dict(value.dict()); break;
      default:
        if (!value.is(Type::host) || type_name(value) != "int") {
          fault("Object of type ", type_name(value), " is not JSON serializable");
        }
        print(heap_, out_, value);
    }
    heap_.check_bytes(out_.size());
  }

  std::string take() { return std::move(out_); }

 private:
  static std::string number(double value) {
    if (std::isnan(value)) return "NaN";
    if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
    return real_text(value);
  }

  void unicode_escape(char32_t unit) {
    char escaped[16];
    std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned>(unit));
    out_ += escaped;
  }

  void write_text(std::string_view text) {
    heap_.step_bytes(text.size());
    out_ += '"';
    for (size_t at = 0; at < text.size(); ++at) {
      const char c = text[at];
      switch (c) {
        case '"': out_ += "\\\""; break;
        case '\\': out_ += "\\\\"; break;
        case '\n': out_ += "\\n"; break;
        case '\r': out_ += "\\r"; break;
        case '\t': out_ += "\\t"; break;
        case '\f': out_ += "\\f"; break;
        case '\b': out_ += "\\b"; break;
        default: {
          const auto byte = static_cast<unsigned char>(c);
          if (byte < 0x20 || (style_.ascii && byte == 0x7F)) {
            unicode_escape(byte);
          } else if (byte < 0x80 || !style_.ascii) {
            out_ += c;
          } else {
            const char32_t point = first_character(text.substr(at));
            if (point >= 0x10000) {
              unicode_escape(0xD800 + ((point - 0x10000) >> 10));
              unicode_escape(0xDC00 + ((point - 0x10000) & 0x3FF));
            } else {
              unicode_escape(point);
            }
            at += character_bytes(text.substr(at)) - 1;
          }
        }
      }
    }
    out_ += '"';
  }

  void new_line() {
    if (!style_.indent) return;
    out_ += '\n';
    heap_.check_bytes(out_.size() + level_ * style_.indent->size());
    for (size_t i = 0; i < level_; ++i) out_ += *style_.indent;
  }

  /// `write_item(i)` for each of `count` items, between brackets.
  template <class WriteItem>
  void write_items(const char* brackets, size_t count, const WriteItem& write_item) {
    out_ += brackets[0];
    if (count > 0) {
      ++level_;
      for (size_t i = 0; i < count; ++i) {
        if (i > 0) out_ += style_.item_separator;
        new_line();
        write_item(i);
      }
      --level_;
      new_line();
    }
    out_ += brackets[1];
  }

  void write_list(const std::vector<Value>& items) {
    write_items("[]", items.size(), [&](size_t i) { write(items[i]); });
  }

  std::string key_text(const Value& key) {
    switch (key.type()) {
      case Type::text: return key.as_text();
      case Type::none: return "null";
      case Type::boolean: return key.as_boolean() ? "true" : "false";
      case Type::integer: return std::to_string(key.as_integer());
      case Type::real: return number(key.as_real());
      default: fault("keys must be str, int, float, bool or None, not ", type_name(key));
    }
  }

  void write_dict(const Dict& dict) {
    std::vector<const Dict::Entry*> entries;
    for (const Dict::Entry& entry : dict.entries()) entries.push_back(&entry);
    if (style_.sort_keys) {
      std::stable_sort(entries.begin(), entries.end(),
                       [&](const Dict::Entry* a, const Dict::Entry* b) {
                         return less(heap_, a->first, b->first);
                       });
    }
    write_items("{}", entries.size(), [&](size_t i) {
      write_text(key_text(entries[i]->first));
      out_ += style_.key_separator;
      write(entries[i]->second);
    });
  }

  Heap& heap_;
  const JsonStyle& style_;
  std::string out_;
  size_t level_ = 0;
};

Value from_json(Heap& heap, const Json& json, uint32_t depth) {
  if (depth > kMaxValueDepth) fault("the variables are nested deeper than ", kMaxValueDepth);
  switch (json.type()) {
    case Json::value_t::boolean: return Value::boolean(json.get<bool>());
    case Json::value_t::number_integer: return Value::integer(json.get<int64_t>());
    case Json::value_t::number_unsigned: {
      const auto number = json.get<uint64_t>();
      if (number > static_cast<uint64_t>(INT64_MAX))
        return heap.make<LargeInteger>(Type::host, number);
      return Value::integer(static_cast<int64_t>(number));
    }
    case Json::value_t::number_float: return Value::real(json.get<double>());
    case Json::value_t::string: return heap.text(json.get_ref<const std::string&>());
    case Json::value_t::array: {
      std::vector<Value> items;
      items.reserve(json.size());
      for (const Json& item : json) items.push_back(from_json(heap, item, depth + 1));
      return heap.list(std::move(items));
    }
    case Json::value_t::object: {
      const std::shared_ptr<Dict> dict = heap.dict();
      for (const auto& [key, item] : json.items())
        dict->set(heap, heap.text(key), from_json(heap, item, depth + 1));
      return Heap::value_of(dict);
    }
    default: return {};
  }
}

}  // namespace

std::string to_json(Heap& heap, const Value& value, const JsonStyle& style) {
  JsonWriter writer(heap, style);
  writer.write(value);
  return writer.take();
}

Value from_json(Heap& heap, const Json& json) { return from_json(heap, json, 1); }

}  // namespace guerdon::text::jinja
