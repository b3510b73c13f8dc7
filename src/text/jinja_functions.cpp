#include "text/jinja_functions.h"

#include <locale.h>
#include <sys/time.h>

#include <algorithm>
#include <cstdio>
#include <ctime>

#include "text/jinja_access.h"
#include "text/jinja_arguments.h"
#include "text/jinja_methods.h"
#include "text/jinja_nesting.h"
#include "text/jinja_print.h"

namespace guerdon::text::jinja {

// ---- namespace

std::string Namespace::describe(Heap& heap) {
  if (printing_) return "<Namespace {...}>";
  const Restored<bool> printing(printing_, true);
  std::string out = "<Namespace {";
  for (const std::string& name : order_) {
    if (out.back() != '{') out += ", ";
    out += quote(name) + ": ";
    represent(heap, out, values_.find(name)->second);
    heap.check_bytes(out.size());
  }
  return out + "}>";
}

std::optional<Value> Namespace::attribute(Heap&, std::string_view name) {
  const auto found = values_.find(name);
  return found == values_.end() ? std::nullopt : std::optional(found->second);
}

void Namespace::set(Heap& heap, const std::string& name, const Value& value) {
  if (name.starts_with('_'))
    fault("a namespace cannot store names that begin with an underscore, got ", quote(name));
  heap.step();
  const auto found = values_.find(name);
  if (found == values_.end()) {
    grow(2 * name.size() + 192, 0);
    order_.push_back(name);
    values_.emplace(name, value);
  } else {
    // The old value may be the last owner of much: it goes when nothing here is half done.
    const Value old = std::exchange(found->second, value);
  }
}

std::vector<Value> Namespace::take_values() {
  std::vector<Value> values;
  for (auto& [name, value] : values_) values.push_back(std::move(value));
  values_.clear();
  order_.clear();
  return values;
}

namespace {

/// dict(pairs_or_dict, **named).
std::shared_ptr<Dict> to_dict(Heap& heap, const Arguments& arguments, const char* function) {
  if (arguments.positional.size() > 1) {
    fault(function, " expected at most 1 argument, got ", arguments.positional.size());
  }
  if (!arguments.positional.empty() && arguments.positional[0].is(Type::undefined)) {
    fault(arguments.positional[0].undefined_reason());
  }
  std::shared_ptr<Dict> dict = heap.dict();
  if (!arguments.positional.empty() && arguments.positional[0].is(Type::dict)) {
    for (const auto& [key, value] : arguments.positional[0].dict().entries())
      dict->set(heap, key, value);
  } else if (!arguments.positional.empty()) {
    Iteration walk(heap, arguments.positional[0]);
    for (Value pair; walk.next(pair);) {
      const std::vector<Value> parts = to_vector(heap, pair);
      if (parts.size() != 2)
        fault("dictionary update sequence element has length ", parts.size(), "; 2 is required");
      dict->set(heap, parts[0], parts[1]);
    }
  }
  for (const auto& [name, value] : arguments.named) dict->set(heap, heap.text(name), value);
  return dict;
}

// ---- functions

using Body = std::function<Value(Heap&, const Arguments&)>;

class NativeFunction final : public Host {
 public:
  NativeFunction(Heap* heap, std::string_view name, Body body)
      : Host(heap, 128), name_(name), body_(std::move(body)) {}
  std::string type_name() const override { return "function"; }
  std::string describe(Heap&) override { return "<function " + name_ + ">"; }
  std::optional<Value> attribute(Heap& heap, std::string_view name) override {
    if (name_ != "dict" || name != "fromkeys") return std::nullopt;
    return attribute_only(heap, Heap::value_of(heap.dict()), "fromkeys");
  }
  Value call(Heap& heap, Arguments& arguments) override { return body_(heap, arguments); }

 private:
  const std::string name_;
  const Body body_;
};

Value range(Heap& heap, const Arguments& arguments) {
  const Parameters given("range", arguments, {"", "", ""}, 1);
  for (size_t i = 0; i < arguments.positional.size(); ++i) {
    if (!given[i].is_integral())
      fault("'", type_name(given[i]), "' object cannot be interpreted as an integer");
  }
  const int64_t step = given.integer(2, 1);
  if (step == 0) fault("range() arg 3 must not be zero");
  const int64_t start = given.has(1) ? given.integer(0, 0) : 0;
  const int64_t stop = given.has(1) ? given.integer(1, 0) : given.integer(0, 0);
  return heap.make<Range>(Type::range, start, stop, step);
}

Value make_namespace(Heap& heap, const Arguments& arguments) {
  const std::shared_ptr<Dict> attributes = to_dict(heap, arguments, "namespace");
  Value result = heap.make<Namespace>(Type::host);
  for (const auto& [key, value] : attributes->entries()) {
    if (!key.is(Type::text)) fault("namespace(): the names must be str, not ", type_name(key));
    result.object<Namespace>().set(heap, key.as_text(), value);
  }
  return result;
}

Value raise_exception(Heap& heap, const Arguments& arguments) {
  const Parameters given("raise_exception", arguments, {"message"}, 1);
  throw Error(Kind::input, "", printed(heap, given[0]));
}

// ---- cycler and joiner

class Cycler final : public Host {
 public:
  Cycler(Heap* heap, const Value& items) : Host(heap, 64, items.depth() + 1), items_(items) {}
  std::string type_name() const override { return "jinja2.utils.Cycler"; }
  bool callable() const override { return false; }
  std::optional<Value> attribute(Heap& heap, std::string_view name) override {
    if (name == "current") return items_.items()[at_];
    if (name == "items") return items_;
    if (name == "pos") return Value::integer(static_cast<int64_t>(at_));
    if (name == "next") return bound_method(heap, self(), name, &Cycler::next);
    if (name == "reset") return bound_method(heap, self(), name, &Cycler::reset);
    return std::nullopt;
  }

 private:
  static Value next(Heap&, const Value& self, const Arguments& arguments) {
    Parameters("next", arguments, {});
    auto& cycler = self.object<Cycler>();
    Value current = cycler.items_.items()[cycler.at_];
    cycler.at_ = (cycler.at_ + 1) % cycler.items_.items().size();
    return current;
  }
  static Value reset(Heap&, const Value& self, const Arguments& arguments) {
    Parameters("reset", arguments, {});
    self.object<Cycler>().at_ = 0;
    return {};
  }

  const Value items_;
  size_t at_ = 0;
};

Value cycler(Heap& heap, const Arguments& arguments) {
  if (!arguments.named.empty()) fault("cycler() got an unexpected keyword argument");
  if (arguments.positional.empty()) fault("at least one item has to be provided");
  return heap.make<Cycler>(Type::host, heap.tuple(arguments.positional));
}

Value joiner(Heap& heap, const Arguments& arguments) {
  const Parameters given("joiner", arguments, {"sep"});
  const Value separator = given.has(0) ? given[0] : heap.text(", ");
  return heap.make<NativeFunction>(
      Type::host, "joiner", [separator, used = false](Heap& inner, const Arguments&) mutable {
        return std::exchange(used, true) ? separator : inner.text("");
      });
}

// ---- time

/// The fields of a local time and its microseconds.
struct Moment {
  std::tm fields{};
  int64_t microseconds = 0;
};

Moment moment(const std::string& iso) {
  Moment result;
  if (iso.empty()) {
    timeval now{};
    gettimeofday(&now, nullptr);
    localtime_r(&now.tv_sec, &result.fields);
    result.microseconds = now.tv_usec;
    return result;
  }
  std::tm& t = result.fields;
  const int read = std::sscanf(iso.c_str(), "%4d-%2d-%2d%*1[T ]%2d:%2d:%2d", &t.tm_year, &t.tm_mon,
                               &t.tm_mday, &t.tm_hour, &t.tm_min, &t.tm_sec);
  const bool sound = (read == 3 || read >= 5) && t.tm_mon >= 1 && t.tm_mon <= 12 &&
                     t.tm_mday >= 1 && t.tm_mday <= 31 && t.tm_hour < 24 && t.tm_min < 60 &&
                     t.tm_sec < 61;
  if (!sound) fault("strftime_now_iso is ", show(iso), " and not a time like 2024-07-26T12:00:00");
  t.tm_year -= 1900;
  t.tm_mon -= 1;
  t.tm_isdst = -1;
  std::tm copy = t;
  timegm(&copy);  // the day of the week and of the year
  t.tm_wday = copy.tm_wday;
  t.tm_yday = copy.tm_yday;
  return result;
}

/// datetime.strftime: names in English whatever the locale; %f are microseconds, %z and %Z nothing.
std::string strftime(Heap& heap, const std::string& format, const Moment& moment) {
  std::string plain;
  for (size_t i = 0; i < format.size(); ++i) {
    const char next = i + 1 < format.size() ? format[i + 1] : '\0';
    if (format[i] != '%' || next == '\0') {
      plain += format[i];
      continue;
    }
    ++i;
    if (next == 'f') {
      char digits[8];
      std::snprintf(digits, sizeof digits, "%06d", static_cast<int>(moment.microseconds));
      plain += digits;
    } else if (next != 'z' && next != 'Z') {
      plain += '%';
      plain += next;
    }
  }
  plain.resize(std::min(plain.find('\0'), plain.size()));  // where C's strftime ends
  constexpr size_t kLongest = 4096;
  if (plain.size() > kLongest)
    fault("the format of strftime_now is longer than ", kLongest, " bytes");
  if (plain.empty()) return {};
  static const locale_t english = newlocale(LC_ALL_MASK, "C", nullptr);
  std::string out(64 * plain.size() + 1, '\0');
  heap.check_bytes(out.size());
  // A trailing mark tells an empty result from one that does not fit.
  out.resize(strftime_l(out.data(), out.size(), (plain + "$").c_str(), &moment.fields, english));
  if (out.empty()) fault("the format of strftime_now gives too long a text");
  out.pop_back();
  return out;
}

Value strftime_now(Heap& heap, const Arguments& arguments, const std::string& now) {
  const Parameters given("strftime_now", arguments, {"format"}, 1);
  if (!given[0].is(Type::text))
    fault("strftime_now(): the format must be str, not ", type_name(given[0]));
  return heap.text(strftime(heap, given[0].as_text(), moment(now)));
}

}  // namespace

std::optional<Value> find_function(Heap& heap, std::string_view name, const std::string& now) {
  static const std::unordered_map<std::string_view, Value (*)(Heap&, const Arguments&)> functions =
      {{"cycler", cycler},
       {"joiner", joiner},
       {"namespace", make_namespace},
       {"raise_exception", raise_exception},
       {"range", range},
       {"dict", [](Heap& inner, const Arguments& arguments) {
          return Heap::value_of(to_dict(inner, arguments, "dict"));
        }}};
  if (name == "strftime_now") {
    return heap.make<NativeFunction>(Type::host, name,
                                     [now](Heap& inner, const Arguments& arguments) {
                                       return strftime_now(inner, arguments, now);
                                     });
  }
  const auto found = functions.find(name);
  if (found == functions.end()) return std::nullopt;
  return heap.make<NativeFunction>(Type::host, name, found->second);
}

}  // namespace guerdon::text::jinja
