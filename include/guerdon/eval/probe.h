/// What a reward model knows: one linear classifier for each kind of preference, on the states that
/// the head reads (MRMBench and inference-time probing, arXiv:2511.12464).
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "guerdon/base/json_reader.h"
#include "guerdon/data/example.h"
#include "guerdon/math/intervals.h"
#include "guerdon/ops/tensor.h"

namespace guerdon::eval {

/// A response that people have labelled.
struct ProbeRow {
  Example row;  ///< one response
  std::map<std::string, int64_t>
      labels;  ///< dimension ("helpfulness") to label; some may be missing
};

/// Rows {"prompt", "response" (or "completion"), "labels": {"harmlessness": 0, ...}}. Throws Error
/// (Kind::input) at the row.
std::vector<ProbeRow> read_probe_rows(const std::filesystem::path& file);

/// Labels that count as one class, by dimension: class c is the labels merges[dimension][c].
using Merges = std::map<std::string, std::vector<std::vector<int64_t>>>;
/// "harmlessness=0|1,2,3": the classes {0} and {1, 2, 3}. Throws Error (Kind::settings).
std::pair<std::string, std::vector<std::vector<int64_t>>> read_merge(const std::string& text);

struct ProbeOptions {
  int64_t epochs = 1, batch_size = 128;  ///< the paper's
  double learning_rate = 5e-5;           ///< the largest of the paper's
  bool balanced = true;  ///< as many training rows of each class as the smallest one has
  uint64_t seed = 0;     ///< of that choice, of the order, and of the centroids
  int64_t centroids_per_label = 1;
};

/// softmax(h W) with W [hidden, classes], which begins at 0 (where its loss is ln classes) and
/// learns by AdamW without decay.
Tensor train_probe(const Tensor& states, const Tensor& classes, int64_t class_count,
                   const ProbeOptions& options);
/// Mean cross-entropy of states [n, hidden] with classes [n] int64.
double probe_loss(const Tensor& weight, const Tensor& states, const Tensor& classes);
/// Share of the states whose class has the largest logit; the first of equal ones.
double probe_accuracy(const Tensor& weight, const Tensor& states, const Tensor& classes);

/// Centres of `count` clusters of states [n, hidden]: [count, hidden] (Lloyd's algorithm from
/// k-means++; an empty cluster begins anew at the state that is farthest from its centre). With one
/// it is the mean. Throws Error (Kind::input) when there are fewer states.
Tensor centroids_of(const Tensor& states, int64_t count, uint64_t seed);
/// Distance of each state to the nearest centroid, [n].
Tensor nearest_distance(const Tensor& states, const Tensor& centroids);

struct ProbeResult {
  std::string dimension;
  std::vector<std::string> classes;
  int64_t train = 0, test = 0;  ///< rows that were used
  double train_loss = 0;        ///< after training; ln classes means that nothing was learnt
  double accuracy = 0;          ///< on the test rows
  math::Interval interval{0, 1};
};

struct Probes {
  std::vector<ProbeResult> dimensions;
  double mean = 0;  ///< of the accuracies
  /// Of the test rows, "DIMENSION/CLASS" to [centroids_per_label, hidden].
  std::vector<std::pair<std::string, Tensor>> centroids;
  std::vector<double> distances;  ///< of the test rows to the nearest centroid, ascending
};

/// One probe for each dimension that the training rows label. Throws Error (Kind::input) for a
/// dimension with fewer than two classes, a class that training or test rows lack, or a label that
/// is in no class.
Probes probe(const std::vector<ProbeRow>& train, const Tensor& train_states,
             const std::vector<ProbeRow>& test, const Tensor& test_states, const Merges& merges,
             const ProbeOptions& options);

Json probes_json(const Probes& probes);
std::string probes_text(const Probes& probes);

}  // namespace guerdon::eval
