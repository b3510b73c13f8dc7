#include "guerdon/optim/state.h"

#include <ATen/ATen.h>
#include <torch/nn/module.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "guerdon/base/error.h"

namespace guerdon::optim {
namespace {

/// The names of a walk through `parts`, with their prefixes; a name that comes twice is a bug.
class Walk : public Parts {
 protected:
  std::string full(const std::string& name) {
    std::string path = prefix_ + name;
    GUERDON_CHECK(seen_.insert(path).second, "parts lists ", show(path), " twice");
    return path;
  }
  void enter(const std::string& name) override { prefix_ += name + "."; }
  void leave() override {
    prefix_.pop_back();
    prefix_.erase(prefix_.rfind('.') + 1);
  }

  /// Each tensor of a module once (modules may share them): trained and moving ones are stored,
  /// frozen ones are known by their hash.
  template <class Stored, class Frozen>
  void each_tensor(const std::string& name, torch::nn::Module& module, const ParameterGroup& group,
                   Stored&& stored, Frozen&& frozen) {
    for (const auto& item : module.named_parameters()) {
      if (!shared_.insert(item.value().unsafeGetTensorImpl()).second) continue;
      const std::string path = full(name + "." + item.key());
      if (item.value().requires_grad() || group.moving) {
        stored(path, item.value());
      } else {
        frozen(path, item.value());
      }
    }
    for (const auto& item : module.named_buffers()) {
      if (!shared_.insert(item.value().unsafeGetTensorImpl()).second) continue;
      stored(full(name + "." + item.key()), item.value());
    }
  }

 private:
  std::string prefix_;
  std::set<std::string> seen_;
  std::set<const void*> shared_;
};

class Reading final : public Walk {
 public:
  Reading(State& state, FrozenHashes& hashes) : state_(state), hashes_(hashes) {}
  void number(const std::string& name, double& value) override {
    state_.numbers[full(name)] = value;
  }
  void integer(const std::string& name, int64_t& value) override {
    state_.integers[full(name)] = value;
  }
  void text(const std::string& name, std::string& value) override {
    state_.texts[full(name)] = value;
  }
  void rows(const std::string& name, std::map<std::string, double>& value) override {
    state_.rows[full(name)] = value;
  }
  void tensor(const std::string& name, Tensor& value) override {
    state_.tensors.emplace_back(full(name), value.defined() ? value.detach() : at::empty({0}));
  }
  void module(const std::string& name, torch::nn::Module& module,
              const ParameterGroup& group) override {
    each_tensor(
        name, module, group,
        [&](const std::string& path, const Tensor& t) {
          state_.tensors.emplace_back(path, t.detach());
        },
        [&](const std::string& path, const Tensor& t) { state_.frozen[path] = hashes_.of(t); });
  }

 private:
  State& state_;
  FrozenHashes& hashes_;
};

/// Compares with a saved state, or (when `assign`) takes its values over.
class Restoring final : public Walk {
 public:
  Restoring(const State& state, const std::string& where, FrozenHashes& hashes, bool assign)
      : state_(state), where_(where), hashes_(hashes), assign_(assign) {
    for (const auto& [name, tensor] : state.tensors) tensors_.emplace(name, tensor);
  }

  void number(const std::string& name, double& value) override {
    take(state_.numbers, name, value);
  }
  void integer(const std::string& name, int64_t& value) override {
    take(state_.integers, name, value);
  }
  void text(const std::string& name, std::string& value) override {
    take(state_.texts, name, value);
  }
  void rows(const std::string& name, std::map<std::string, double>& value) override {
    take(state_.rows, name, value);
  }
  void tensor(const std::string& name, Tensor& value) override {
    const std::string path = full(name);
    const Tensor& saved = find(tensors_, path);
    // What is empty has no shape of its own yet: a buffer that grows.
    if (!value.defined() || value.numel() == 0) {
      if (assign_) value = value.defined() ? saved.to(value.options()) : saved;
      return;
    }
    copy(path, saved, value);
  }
  void module(const std::string& name, torch::nn::Module& module,
              const ParameterGroup& group) override {
    each_tensor(
        name, module, group,
        [&](const std::string& path, const Tensor& t) { copy(path, find(tensors_, path), t); },
        [&](const std::string& path, const Tensor& t) {
          if (find(state_.frozen, path) == hashes_.of(t)) return;
          fail_input(where_,
                     "frozen tensor " + show(path) +
                         " has other content than when the checkpoint was made",
                     "is the model that the run started from still the same?");
        });
  }

  void check_all_asked_for() const {
    const auto check = [&](const auto& table) {
      for (const auto& entry : table) {
        if (asked_.count(entry.first) == 0) {
          fail_input(where_, "entry " + show(entry.first) + " belongs to nothing in this run",
                     "was the checkpoint made with other settings?");
        }
      }
    };
    check(tensors_);
    check(state_.numbers);
    check(state_.integers);
    check(state_.texts);
    check(state_.rows);
    check(state_.frozen);
  }

 private:
  template <class Value>
  const Value& find(const std::map<std::string, Value>& table, const std::string& path) {
    const auto entry = table.find(path);
    if (entry == table.end()) {
      fail_input(where_, "entry " + show(path) + " is missing",
                 "was the checkpoint made with other settings?");
    }
    asked_.insert(path);
    return entry->second;
  }
  template <class Value>
  void take(const std::map<std::string, Value>& table, const std::string& name, Value& value) {
    const Value& saved = find(table, full(name));
    if (assign_) value = saved;
  }
  void copy(const std::string& path, const Tensor& saved, const Tensor& value) {
    if (saved.sizes() != value.sizes() || saved.scalar_type() != value.scalar_type()) {
      fail_input(where_, guerdon::str("tensor ", show(path), ": is ", saved.scalar_type(), " ",
                                      saved.sizes(), ", this run needs ", value.scalar_type(), " ",
                                      value.sizes()));
    }
    if (assign_) value.detach().copy_(saved);
  }

  const State& state_;
  const std::string& where_;
  FrozenHashes& hashes_;
  bool assign_;
  std::map<std::string, Tensor> tensors_;
  std::set<std::string> asked_;
};

// JSON has no words for these three.
Json number_json(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value > 0 ? "inf" : "-inf";
  return value;
}

double number_of(const Json& json, const std::string& where) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (json == "nan") return std::numeric_limits<double>::quiet_NaN();
  if (json == "inf") return kInfinity;
  if (json == "-inf") return -kInfinity;
  if (!json.is_number())
    fail_input(where, "a number is expected, got " + json.dump().substr(0, 80));
  return json.get<double>();
}

}  // namespace

std::string FrozenHashes::of(const Tensor& tensor) {
  Known& known = known_[tensor.unsafeGetTensorImpl()];
  const uint32_t version = static_cast<uint32_t>(tensor._version());
  if (known.hash.empty() || known.data != tensor.const_data_ptr() || known.version != version) {
    const Tensor plain = tensor.detach().to(at::kCPU).contiguous();
    Sha256 sum;
    sum.add(guerdon::str(plain.scalar_type(), plain.sizes(), "\n"));
    sum.add({static_cast<const char*>(plain.const_data_ptr()), plain.nbytes()});
    known = {tensor.const_data_ptr(), version, sum.hex()};
  }
  return known.hash;
}

State read_state(const PartsOf& parts, FrozenHashes& hashes) {
  State state;
  Reading reading(state, hashes);
  parts(reading);
  return state;
}

void restore_state(const PartsOf& parts, const State& state, const std::string& where,
                   FrozenHashes& hashes) {
  const at::NoGradGuard no_grad;
  Restoring check(state, where, hashes, /*assign=*/false);
  parts(check);
  check.check_all_asked_for();
  Restoring assign(state, where, hashes, /*assign=*/true);
  parts(assign);
}

std::string state_json_text(const State& state) {
  Json json = {{"numbers", Json::object()},
               {"integers", Json::object()},
               {"texts", Json::object()},
               {"rows", Json::object()},
               {"frozen", Json::object()}};
  for (const auto& [name, value] : state.numbers) json["numbers"][name] = number_json(value);
  for (const auto& [name, value] : state.integers) json["integers"][name] = value;
  for (const auto& [name, value] : state.texts) json["texts"][name] = value;
  for (const auto& [name, table] : state.rows) {
    Json& rows = json["rows"][name] = Json::object();
    for (const auto& [id, value] : table) rows[id] = number_json(value);
  }
  for (const auto& [name, value] : state.frozen) json["frozen"][name] = value;
  return json.dump(1) + "\n";
}

void read_state_json(const Json& json, const std::string& where, State& state) {
  const auto section = [&](const char* name) -> const Json& {
    if (!json.is_object() || !json.contains(name) || !json[name].is_object()) {
      fail_input(where, guerdon::str("object \"", name, "\" is missing"));
    }
    return json[name];
  };
  const auto text_of = [&](const std::string& name, const Json& value) {
    if (!value.is_string()) fail_input(where, "entry " + show(name) + " must be a string");
    return value.get<std::string>();
  };
  for (const auto& [name, value] : section("numbers").items()) {
    state.numbers[name] = number_of(value, where + ": entry " + show(name));
  }
  for (const auto& [name, value] : section("integers").items()) {
    if (!value.is_number_integer())
      fail_input(where, "entry " + show(name) + " must be an integer");
    state.integers[name] = value.get<int64_t>();
  }
  for (const auto& [name, value] : section("texts").items())
    state.texts[name] = text_of(name, value);
  for (const auto& [name, table] : section("rows").items()) {
    if (!table.is_object()) fail_input(where, "entry " + show(name) + " must be an object");
    auto& rows = state.rows[name];
    for (const auto& [id, value] : table.items()) {
      rows[id] = number_of(value, where + ": entry " + show(name));
    }
  }
  for (const auto& [name, value] : section("frozen").items())
    state.frozen[name] = text_of(name, value);
}

int64_t bit_sum(const Tensor& tensor) {
  const Tensor flat = tensor.detach().contiguous().view({-1});
  switch (flat.element_size()) {
    case 2: return flat.view(at::kShort).sum(at::kLong).item<int64_t>();
    case 4: return flat.view(at::kInt).sum(at::kLong).item<int64_t>();
    case 8: return flat.view(at::kLong).sum(at::kLong).item<int64_t>();
    default: return flat.view(at::kChar).sum(at::kLong).item<int64_t>();
  }
}

}  // namespace guerdon::optim
