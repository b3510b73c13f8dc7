#include "model/reward_head.h"

#include <algorithm>

#include "guerdon/base/error.h"
#include "guerdon/math/steps.h"

namespace guerdon::model {
namespace fs = std::filesystem;

// The fields of guerdon_readout and guerdon_presentation: found by settings_of().
static void describe(SettingList& field, Readout& r) {
  field("names", r.names, "");
  field("weights", r.weights, "");
  field("form", r.form.name, "", {.choices = number_forms()});
  field("points", r.form.points, "");
  field("least_deviation", r.form.least_deviation, "", {.min = 0.0});
  field("members", r.members, "", {.min = 1, .max = 1 << 20});
  describe(field, r.combination);
}

static void describe(SettingList& field, Presentation& p) {
  field("question", p.question, "");
  field("step_separator", p.step_separator, "");
  field("step_reduction", p.step_reduction, "", {.choices = math::step_reductions()});
}

namespace {

// Keys of our own, beside num_labels, id2label and label2id.
constexpr const char* kPoolingKey = "guerdon_pooling";
constexpr const char* kWeightsKey = "guerdon_score_weights";
constexpr const char* kReadoutKey = "guerdon_readout";
constexpr const char* kPresentationKey = "guerdon_presentation";

constexpr std::pair<Pooling, const char*> kPoolings[] = {{Pooling::last, "last"},
                                                         {Pooling::cls, "cls"},
                                                         {Pooling::mean, "mean"},
                                                         {Pooling::pooler, "pooler"}};

bool is_plain(const Readout& r) { return r.members == 1 && r.form.name == "value"; }

std::vector<std::string> stored_labels(const StoredHead& head) {
  std::vector<std::string> out;
  const auto names = head.keys.find("id2label");
  for (int64_t i = 0; i < head.outputs; ++i) {
    const std::string key = std::to_string(i);
    const bool named = names != head.keys.end() && names->is_object() && names->contains(key) &&
                       (*names)[key].is_string();
    out.push_back(named ? (*names)[key].get<std::string>() : "LABEL_" + key);
  }
  return out;
}

/// A value that is there, and not null.
const Json* there(const Json& json, const char* key) {
  const auto found = json.find(key);
  return found == json.end() || found->is_null() ? nullptr : &*found;
}

/// Reads an object of ours out of a file: what is wrong in it is the file's fault.
void read_key(const SettingList& list, const Json& object, const std::string& where,
              const char* key) {
  if (!object.is_object()) fail_input(where + ": key " + key, "must be an object");
  try {
    apply_settings(list, object, where, std::string(key) + ".");
  } catch (const Error& e) {
    throw Error(Kind::input, e.where, std::string(e.what()).substr(e.where.size() + 2));
  }
}

/// How the outputs that are stored make a score; no weights where nothing says so.
Readout stored_readout(const StoredHead& head) {
  if (const Json* json = there(head.keys, kReadoutKey)) {
    Readout out;
    read_key(settings_of(out), *json, head.where, kReadoutKey);
    const std::string where = head.where + ": key " + kReadoutKey;
    const bool fits = !out.names.empty() && out.weights.size() == out.names.size() &&
                      out.outputs() == head.outputs;
    if (!fits) fail_input(where, str("does not describe a head of ", head.outputs, " outputs"));
    return out;
  }
  Readout out{.names = stored_labels(head), .weights = {}};
  if (const Json* json = there(head.keys, kWeightsKey)) {
    const bool numbers =
        json->is_array() && json->size() == out.names.size() &&
        std::all_of(json->begin(), json->end(), [](const Json& v) { return v.is_number(); });
    if (!numbers)
      fail_input(head.where + ": key " + kWeightsKey, str("must be a list of ", head.outputs,
                                                          " numbers, one for each output of the "
                                                          "head"));
    out.weights = json->get<std::vector<double>>();
  }
  return out;
}

bool same_outputs(const Readout& a, const Readout& b) {
  return a.outputs() == b.outputs() && a.members == b.members && a.form.name == b.form.name &&
         a.names.size() == b.names.size();
}

}  // namespace

bool is_roberta(const data::ModelConfig& config) { return config.family.ends_with("roberta"); }

std::string head_name(const data::ModelConfig& config) {
  if (config.decoder()) return "score";
  return is_roberta(config) ? "classifier.out_proj" : "classifier";
}

std::optional<Pooling> stored_pooling(const Json& json, const std::string& where) {
  const auto value = json.find(kPoolingKey);
  if (value == json.end() || value->is_null()) return std::nullopt;
  for (const auto& [pooling, name] : kPoolings)
    if (*value == name) return pooling;
  fail_input(where + ": key " + kPoolingKey,
             "unknown pooling " + value->dump() + " (have: cls, last, mean, pooler)");
}

Presentation stored_presentation(const Json& json, const std::string& where) {
  Presentation out;
  if (const Json* stored = there(json, kPresentationKey))
    read_key(settings_of(out), *stored, where, kPresentationKey);
  return out;
}

Pooling default_pooling(const data::ModelConfig& config, const fs::path& folder) {
  if (config.decoder()) return Pooling::last;
  if (const auto pooling = stored_pooling(*config.json, config.where)) return *pooling;
  if (const fs::path file = folder / "1_Pooling" / "config.json"; fs::exists(file)) {
    const Json json = read_json(file);
    const auto on = [&](const char* key) {
      return json.is_object() && json.contains(key) && json.at(key) == true;
    };
    if (on("pooling_mode_mean_tokens")) return Pooling::mean;
    if (on("pooling_mode_cls_token")) return Pooling::cls;
    fail_input(file.string(), "asks for a pooling that guerdon does not have (have: cls, mean)");
  }
  return Pooling::pooler;
}

Json head_keys(const RewardModel& model) {
  const Readout& readout = model.readout();
  const std::vector<std::string> names = readout.labels();
  Json labels = Json::object(), ids = Json::object();
  for (size_t i = 0; i < names.size(); ++i) {
    labels[std::to_string(i)] = names[i];
    ids[names[i]] = i;
  }
  Json out = {{"num_labels", names.size()}, {"id2label", labels},   {"label2id", ids},
              {kWeightsKey, nullptr},       {kReadoutKey, nullptr}, {kPoolingKey, nullptr},
              {kPresentationKey, nullptr}};
  Presentation shown = model.presentation();
  if (!shown.question.empty() || !shown.step_separator.empty())
    out[kPresentationKey] = settings_json(settings_of(shown));
  if (names.size() > 1) out["problem_type"] = "regression";
  if (!is_plain(readout)) {
    Readout copy = readout;
    out[kReadoutKey] = settings_json(settings_of(copy));
  } else if (readout.weights != std::vector<double>{1.0}) {
    out[kWeightsKey] = readout.weights;
  }
  if (model.pooling() == Pooling::cls || model.pooling() == Pooling::mean) {
    for (const auto& [pooling, name] : kPoolings)
      if (pooling == model.pooling()) out[kPoolingKey] = name;
  }
  return out;
}

StoredHead stored_head(const ModelTensors& files, const std::string& tensor,
                       const data::ModelConfig& config, const Json& keys,
                       const std::string& where) {
  StoredHead out{.inputs = config.hidden_size(),
                 .keys = keys,
                 .where = where,
                 .tensor = files.where() + ": tensor " + show(tensor)};
  const data::TensorEntry* found = files.find(tensor);
  if (found == nullptr) return out;
  const std::vector<int64_t>& shape = found->shape;
  if (shape.size() != 2 || shape[0] < 1 || shape[1] != config.hidden_size()) {
    std::string sizes;
    for (const int64_t size : shape) sizes += str(sizes.empty() ? "" : ", ", size);
    fail_input(out.tensor,
               str("has shape [", sizes, "], a reward head needs [1, ", config.hidden_size(), "]"));
  }
  out.outputs = shape[0];
  return out;
}

Readout readout_of(const StoredHead& head, const RewardLoadOptions& options) {
  Readout out;
  if (options.readout) out = *options.readout;
  if (head.outputs > 0) {
    const Readout stored = stored_readout(head);
    if (!options.readout) {
      out = stored;
    } else if (!same_outputs(out, stored)) {
      fail_input(head.tensor,
                 str("is a head of ", head.outputs, " outputs (", stored.form.name, "), and ",
                     out.outputs(), " (", out.form.name, ") are wanted"),
                 "start from the model without its head, or from one with the same outputs");
    } else if (out.weights.empty()) {
      out.weights = stored.weights;
    }
  }
  if (!options.weights.empty()) {
    if (options.weights.size() != out.names.size())
      fail_settings(head.where, str("the head has ", out.names.size(), " outputs, got ",
                                    options.weights.size(), " weights"));
    out.weights = options.weights;
  }
  if (options.combination) out.combination = *options.combination;
  if (out.weights.empty()) {
    const size_t numbers = out.names.size();
    if (numbers > 1 && !options.readout) {
      fail_input(head.tensor,
                 str("has shape [", numbers, ", ", head.inputs, "], a reward head needs [1, ",
                     head.inputs, "]"),
                 "weights say how several outputs make one score: {\"use\": \"model\", "
                 "\"weights\": [...]}");
    }
    out.weights.assign(numbers, 1.0 / static_cast<double>(numbers));
  }
  return out;
}

}  // namespace guerdon::model
