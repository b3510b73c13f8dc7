/// The functions that every template can call: range, dict, namespace, cycler, joiner,
/// raise_exception, strftime_now.
#pragma once

#include <map>

#include "text/jinja_value.h"

namespace guerdon::text::jinja {

/// The attributes that a template may set: `{% set ns.name = value %}`.
class Namespace final : public Host, public Ring {
 public:
  explicit Namespace(Heap* heap) : Host(heap, 128), Ring(*heap) {}
  ~Namespace() override { leave(take_values()); }

  std::string type_name() const override { return "jinja2.utils.Namespace"; }
  std::string describe(Heap& heap) override;
  std::optional<Value> attribute(Heap& heap, std::string_view name) override;
  bool callable() const override { return false; }
  /// Throws Fault when the name begins with an underscore.
  void set(Heap& heap, const std::string& name, const Value& value);
  std::vector<Value> take_values() override;

 private:
  std::map<std::string, Value, std::less<>> values_;
  std::vector<std::string> order_;
  bool printing_ = false;  ///< this one holds itself when it is printed meanwhile
};

/// The function of that name, or nullopt. `now` ("2024-07-26T12:00:00") replaces the present time
/// when it is not empty.
std::optional<Value> find_function(Heap& heap, std::string_view name, const std::string& now);

}  // namespace guerdon::text::jinja
