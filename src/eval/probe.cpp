#include "guerdon/eval/probe.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>

#include "data/conversation.h"
#include "eval/item_parts.h"
#include "guerdon/base/error.h"
#include "guerdon/base/random.h"
#include "guerdon/ops/adamw.h"

namespace guerdon::eval {
namespace {

constexpr int kLloydRounds = 100;

using Classes = std::vector<std::vector<int64_t>>;

std::string name_of(const std::vector<int64_t>& labels) {
  std::string out;
  for (const int64_t label : labels) out += (out.empty() ? "" : ",") + std::to_string(label);
  return out;
}

/// Rows of a dimension, by class.
struct Sorted {
  std::vector<std::vector<int64_t>> rows;  // of each class, indices
};

Sorted sorted(const std::vector<ProbeRow>& rows, const std::string& dimension,
              const Classes& classes) {
  Sorted out{.rows = std::vector<std::vector<int64_t>>(classes.size())};
  for (size_t r = 0; r < rows.size(); ++r) {
    const auto label = rows[r].labels.find(dimension);
    if (label == rows[r].labels.end()) continue;
    const auto owner = std::find_if(classes.begin(), classes.end(), [&](const auto& labels) {
      return std::find(labels.begin(), labels.end(), label->second) != labels.end();
    });
    if (owner == classes.end())
      fail_input(rows[r].row.fields.where(), str("label ", label->second, " of ", show(dimension),
                                                 " is in none of its classes"));
    out.rows[static_cast<size_t>(owner - classes.begin())].push_back(static_cast<int64_t>(r));
  }
  for (size_t c = 0; c < classes.size(); ++c) {
    if (out.rows[c].empty())
      fail_input(rows.empty() ? "probe" : rows[0].row.fields.where(),
                 str("no row of the file has a label of class ", name_of(classes[c]), " of ",
                     show(dimension)));
  }
  return out;
}

/// Rows and their classes as tensors, class after class.
std::pair<Tensor, Tensor> tensors_of(const Sorted& sorted) {
  std::vector<int64_t> rows, classes;
  for (size_t c = 0; c < sorted.rows.size(); ++c) {
    rows.insert(rows.end(), sorted.rows[c].begin(), sorted.rows[c].end());
    classes.insert(classes.end(), sorted.rows[c].size(), static_cast<int64_t>(c));
  }
  return {at::tensor(rows, at::kLong), at::tensor(classes, at::kLong)};
}

void balance(Sorted& sorted, uint64_t seed) {
  size_t least = sorted.rows[0].size();
  for (const auto& rows : sorted.rows) least = std::min(least, rows.size());
  for (size_t c = 0; c < sorted.rows.size(); ++c) {
    std::vector<int64_t>& rows = sorted.rows[c];
    std::vector<int64_t> kept;
    for (const int64_t i :
         Random(seed, Purpose::choose, c).permutation(static_cast<int64_t>(rows.size())))
      if (kept.size() < least) kept.push_back(rows[static_cast<size_t>(i)]);
    rows = std::move(kept);
  }
}

/// Without a merge each label is a class of its own.
Classes classes_of(const std::vector<ProbeRow>& rows, const std::string& dimension,
                   const Merges& merges) {
  if (const auto merge = merges.find(dimension); merge != merges.end()) return merge->second;
  std::set<int64_t> labels;
  for (const ProbeRow& row : rows)
    if (const auto label = row.labels.find(dimension); label != row.labels.end())
      labels.insert(label->second);
  Classes out;
  for (const int64_t label : labels) out.push_back({label});
  return out;
}

}  // namespace

std::vector<ProbeRow> read_probe_rows(const std::filesystem::path& file) {
  std::vector<ProbeRow> out;
  for (const Fields& row : read_rows(file)) {
    ProbeRow one;
    const char* name = row.has("response") ? "response" : "completion";
    std::vector<Text> response = texts_of(row, row.has(name) ? name : "response");
    if (response.size() != 1) fail_input(row.where(), str("field \"", name, "\" must be one text"));
    Text prompt;
    if (row.has("prompt")) prompt = data::read_text(row.json()["prompt"], "prompt", row.where());
    one.row = example_of(row, std::move(prompt), std::move(response));
    if (!row.has("labels") || !row.json()["labels"].is_object())
      fail_input(row.where(), "field \"labels\" must be an object, dimension to label");
    for (const auto& [dimension, label] : row.json()["labels"].items()) {
      if (label.is_null()) continue;
      if (!label.is_number_integer())
        fail_input(row.where(),
                   "field \"labels." + dimension + "\" must be an integer, got " +
                       label.dump(-1, ' ', false, Json::error_handler_t::replace).substr(0, 60));
      one.labels[dimension] = label.get<int64_t>();
    }
    out.push_back(std::move(one));
  }
  return out;
}

std::pair<std::string, std::vector<std::vector<int64_t>>> read_merge(const std::string& text) {
  const auto refuse = [&] {
    fail_settings("flag --merge", "is " + show(text) +
                                      ", a dimension and its classes are needed, "
                                      "such as harmlessness=0|1,2,3");
  };
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) refuse();
  Classes classes(1);
  const char* at = text.data() + equals + 1;
  const char* const end = text.data() + text.size();
  for (;;) {
    int64_t label = 0;
    const auto [after, error] = std::from_chars(at, end, label);
    if (error != std::errc()) refuse();
    classes.back().push_back(label);
    if (after == end) break;
    if (*after == '|') classes.emplace_back();
    if (*after != '|' && *after != ',') refuse();
    at = after + 1;
  }
  return {text.substr(0, equals), classes};
}

Tensor train_probe(const Tensor& states, const Tensor& classes, int64_t class_count,
                   const ProbeOptions& options) {
  Tensor weight = at::zeros({states.size(1), class_count});
  const Tensor first = at::zeros_like(weight), second = at::zeros_like(weight);
  const int64_t n = states.size(0);
  int64_t step = 0;
  for (int64_t epoch = 0; epoch < options.epochs; ++epoch) {
    const Random random(options.seed, Purpose::shuffle, static_cast<uint64_t>(epoch));
    const Tensor order = at::tensor(random.permutation(n), at::kLong);
    for (int64_t begin = 0; begin < n; begin += options.batch_size) {
      const Tensor rows = order.slice(0, begin, std::min(begin + options.batch_size, n));
      const Tensor h = states.index_select(0, rows), y = classes.index_select(0, rows);
      const Tensor error = h.matmul(weight).softmax(1) - at::one_hot(y, class_count);
      const Tensor gradient = h.t().matmul(error).div(static_cast<double>(rows.numel()));
      ops::adamw_step(weight, gradient, first, second,
                      {.learning_rate = options.learning_rate, .step = ++step});
    }
  }
  return weight;
}

double probe_loss(const Tensor& weight, const Tensor& states, const Tensor& classes) {
  const Tensor logprobs = states.matmul(weight).to(at::kDouble).log_softmax(1);
  return -logprobs.gather(1, classes.unsqueeze(1)).mean().item<double>();
}

double probe_accuracy(const Tensor& weight, const Tensor& states, const Tensor& classes) {
  const Tensor right = states.matmul(weight).argmax(1) == classes;
  return right.to(at::kDouble).mean().item<double>();
}

Tensor nearest_distance(const Tensor& states, const Tensor& centroids) {
  return at::cdist(states, centroids).amin(1);
}

Tensor centroids_of(const Tensor& states, int64_t count, uint64_t seed) {
  const int64_t n = states.size(0);
  if (count > n)
    fail_input("centroids", str(count, " clusters are asked for, and there are ", n, " states"));
  // k-means++ (Arthur and Vassilvitskii 2007): the next one with probability by squared distance.
  Random random(seed, Purpose::choose, 0x6d65616e);
  Tensor centroids = states.narrow(0, static_cast<int64_t>(random.next_below(n)), 1).clone();
  while (centroids.size(0) < count) {
    const Tensor share = nearest_distance(states, centroids).to(at::kDouble).square().cumsum(0);
    const auto total = share[n - 1].item<double>();
    const int64_t next =
        total > 0 ? at::searchsorted(share, random.next_uniform() * total).item<int64_t>()
                  : static_cast<int64_t>(random.next_below(n));
    centroids = at::cat({centroids, states.narrow(0, std::min(next, n - 1), 1)});
  }
  for (int round = 0; round < kLloydRounds; ++round) {
    const Tensor distance = at::cdist(states, centroids), owner = distance.argmin(1);
    const Tensor members = at::one_hot(owner, count).to(states.scalar_type());
    const Tensor sizes = members.sum(0);
    Tensor next = members.t().matmul(states) / sizes.clamp_min(1).unsqueeze(1);
    const Tensor farthest = distance.amin(1).argsort(0, /*descending=*/true);
    int64_t taken = 0;
    for (int64_t k = 0; k < count; ++k)
      if (sizes[k].item<double>() == 0) next[k] = states[farthest[taken++].item<int64_t>()];
    const bool settled = next.equal(centroids);
    centroids = next;
    if (settled) break;
  }
  return centroids;
}

Probes probe(const std::vector<ProbeRow>& train, const Tensor& train_states,
             const std::vector<ProbeRow>& test, const Tensor& test_states, const Merges& merges,
             const ProbeOptions& options) {
  std::set<std::string> dimensions;
  for (const ProbeRow& row : train)
    for (const auto& [dimension, label] : row.labels) dimensions.insert(dimension);
  if (dimensions.empty()) fail_input("probe", "no training row has a label");
  for (const auto& [dimension, classes] : merges)
    if (!dimensions.contains(dimension))
      fail_settings("flag --merge", "no training row has a label of " + show(dimension));
  Probes out;
  for (const std::string& dimension : dimensions) {
    const Classes classes = classes_of(train, dimension, merges);
    if (classes.size() < 2)
      fail_input(train[0].row.fields.where(),
                 str("the file has one class of ", show(dimension), ", two are needed"));
    Sorted known = sorted(train, dimension, classes);
    if (options.balanced) balance(known, options.seed);
    const Sorted held_out = sorted(test, dimension, classes);
    const auto [train_rows, train_classes] = tensors_of(known);
    const auto [test_rows, test_classes] = tensors_of(held_out);
    const Tensor h = train_states.index_select(0, train_rows),
                 h_test = test_states.index_select(0, test_rows);
    const auto count = static_cast<int64_t>(classes.size());
    const Tensor weight = train_probe(h, train_classes, count, options);
    ProbeResult result{.dimension = dimension,
                       .train = train_rows.numel(),
                       .test = test_rows.numel(),
                       .train_loss = probe_loss(weight, h, train_classes),
                       .accuracy = probe_accuracy(weight, h_test, test_classes)};
    result.interval =
        math::wilson(std::round(result.accuracy * static_cast<double>(result.test)), result.test);
    for (size_t c = 0; c < classes.size(); ++c) {
      result.classes.push_back(name_of(classes[c]));
      const Tensor own = test_states.index_select(0, at::tensor(held_out.rows[c], at::kLong));
      out.centroids.emplace_back(dimension + "/" + name_of(classes[c]),
                                 centroids_of(own, options.centroids_per_label, options.seed));
    }
    out.mean += result.accuracy / static_cast<double>(dimensions.size());
    out.dimensions.push_back(std::move(result));
  }
  std::vector<Tensor> all;
  for (const auto& [name, some] : out.centroids) all.push_back(some);
  const Tensor distances = nearest_distance(test_states, at::cat(all)).to(at::kDouble).contiguous();
  out.distances.assign(distances.const_data_ptr<double>(),
                       distances.const_data_ptr<double>() + distances.numel());
  std::sort(out.distances.begin(), out.distances.end());
  return out;
}

Json probes_json(const Probes& probes) {
  Json out{{"mean", probes.mean}, {"dimensions", Json::array()}};
  for (const ProbeResult& r : probes.dimensions) {
    out["dimensions"].push_back({{"name", r.dimension},
                                 {"classes", r.classes},
                                 {"train", r.train},
                                 {"test", r.test},
                                 {"train_loss", r.train_loss},
                                 {"accuracy", r.accuracy},
                                 {"interval", {r.interval.lower, r.interval.upper}}});
  }
  return out;
}

std::string probes_text(const Probes& probes) {
  std::string out;
  char line[240];
  for (const ProbeResult& r : probes.dimensions) {
    std::snprintf(line, sizeof line,
                  "%-16s %5.1f %% (%.1f to %.1f) of %lld, %zu classes; loss %.4f of %.4f at the "
                  "start, %lld training rows\n",
                  r.dimension.c_str(), 100 * r.accuracy, 100 * r.interval.lower,
                  100 * r.interval.upper, static_cast<long long>(r.test), r.classes.size(),
                  r.train_loss, std::log(static_cast<double>(r.classes.size())),
                  static_cast<long long>(r.train));
    out += line;
  }
  std::snprintf(line, sizeof line, "mean %.1f %%\n", 100 * probes.mean);
  return out + line;
}

}  // namespace guerdon::eval
