/// `guerdon eval probe`: what a reward model's states tell of people's labels.
#include "guerdon/eval/probe.h"

#include <ATen/ATen.h>

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/console.h"
#include "cli/eval.h"
#include "guerdon/base/error.h"
#include "guerdon/base/file.h"
#include "guerdon/base/signals.h"
#include "guerdon/eval/judge.h"
#include "guerdon/math/statistics.h"
#include "guerdon/model/tensor_file.h"
#include "guerdon/reward/model_reward.h"
#include "guerdon/reward/services.h"

namespace guerdon::cli {
namespace {

// Rows of one call.
constexpr size_t kRows = 64;

struct Arguments {
  std::string model, train, test, train_states, test_states, centroids;
  std::vector<std::string> merges;
  double quantile = 0.95;
  eval::ProbeOptions probe;
  ResultArguments result;
};

/// States that a file holds, one for each row.
Tensor read_states(const std::string& file, size_t rows) {
  const Tensor states = model::TensorFile(file).load("states").to(at::kFloat);
  if (states.dim() != 2 || states.size(0) != static_cast<int64_t>(rows))
    fail_input(file, guerdon::str("tensor \"states\": has shape ", states.sizes(),
                                  ", the file of rows needs [", rows, ", hidden]"));
  if (!states.isfinite().all().item<bool>())
    fail_input(file, "tensor \"states\": not all of its numbers are finite");
  return states;
}

/// States that the model has of the rows. Undefined when the user stopped it.
Tensor states_of(ModelReward& model, const std::vector<eval::ProbeRow>& rows,
                 const std::string& task) {
  const ProgressSink progress = Console::get().progress();
  std::vector<Tensor> out;
  for (size_t begin = 0; begin < rows.size(); begin += kRows) {
    if (stop_signal() != 0) return {};
    std::vector<Rollout> rollouts;
    std::vector<int64_t> groups{0};
    const size_t end = std::min(begin + kRows, rows.size());
    for (size_t r = begin; r < end; ++r) {
      rollouts.push_back(eval::as_rollout(rows[r].row, 0));
      groups.push_back(static_cast<int64_t>(rollouts.size()));
    }
    Services nothing;
    out.push_back(model.states({rollouts, groups, 0, nothing}));
    progress({.task = task,
              .done = static_cast<int64_t>(end),
              .total = static_cast<int64_t>(rows.size()),
              .unit = "row"});
  }
  return at::cat(out);
}

void write_centroids(const std::string& file, const eval::Probes& probes) {
  const std::filesystem::path path(file);
  ScratchFolder scratch;
  NewFolder folder(scratch.path() / "centroids");
  model::add_tensors(folder, "centroids", probes.centroids);
  write_file(path, MappedFile(folder.path() / "centroids").bytes());
}

void eval_probe(const Arguments& a) {
  if (a.model.empty() == (a.train_states.empty() || a.test_states.empty()))
    fail_settings("flag --model",
                  "is needed, or --train-states and --test-states in its place, which hold states");
  eval::Merges merges;
  for (const std::string& merge : a.merges) merges.insert(eval::read_merge(merge));
  const std::vector<eval::ProbeRow> train = eval::read_probe_rows(a.train),
                                    test = eval::read_probe_rows(a.test);
  Tensor train_states, test_states;
  if (a.model.empty()) {
    train_states = read_states(a.train_states, train.size());
    test_states = read_states(a.test_states, test.size());
    if (train_states.size(1) != test_states.size(1))
      fail_input(a.test_states, str("tensor \"states\": is ", test_states.size(1),
                                    " wide, that of ", a.train_states, " ", train_states.size(1)));
  } else {
    const StopSignals signals;
    ModelReward model({.path = a.model, .truncate = true});
    train_states = states_of(model, train, "reading training rows");
    if (train_states.defined()) test_states = states_of(model, test, "reading test rows");
    if (!test_states.defined()) return;
  }
  const eval::Probes probes = eval::probe(train, train_states, test, test_states, merges, a.probe);
  const double limit = math::quantile(probes.distances, a.quantile);
  Json json = eval::probes_json(probes);
  json["max_distance"] = limit;
  json["quantile"] = a.quantile;
  if (!a.centroids.empty()) write_centroids(a.centroids, probes);
  a.result.write(
      json, eval::probes_text(probes) + str("distance to the nearest centroid: ", limit,
                                            " at quantile ", a.quantile, " of the test rows\n"));
}

}  // namespace

void add_eval_probe(CLI::App* eval) {
  auto a = std::make_shared<Arguments>();
  CLI::App* command = add_subcommand(
      eval, "probe", "What a reward model knows: a linear classifier on its states for each label",
      "guerdon eval probe --model runs/rm --train train.jsonl --test test.jsonl "
      "--merge 'harmlessness=0|1,2,3'");
  command->add_option("--model", a->model, "A reward model's folder or run; it is not changed");
  command
      ->add_option("--train", a->train,
                   "Rows {\"prompt\", \"response\", \"labels\": {\"harmlessness\": 0, ...}}")
      ->required();
  command->add_option("--test", a->test, "The same, for the accuracy and the centroids")
      ->required();
  command->add_option("--train-states", a->train_states,
                      "In place of a model: safetensors file with \"states\" [rows, hidden]");
  command->add_option("--test-states", a->test_states, "The same of the test rows");
  command->add_option("--merge", a->merges,
                      "Labels that count as one: DIMENSION=CLASS|CLASS, a class being labels with "
                      "commas (may be repeated)");
  command->add_option("--epochs", a->probe.epochs, "Of a probe's training")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--batch-size", a->probe.batch_size, "Of a probe's training")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command
      ->add_option("--learning-rate", a->probe.learning_rate,
                   "Of a probe's training; a few hundred rows want more, or more epochs")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_flag("!--unbalanced", a->probe.balanced,
                    "Train on all rows, also where the classes differ in number");
  command->add_option("--seed", a->probe.seed, "Of the order and of what is chosen")
      ->capture_default_str();
  command->add_option(
      "--centroids", a->centroids,
      "Writes the centres of the test rows' states by label, for the reward model's "
      "setting `centroids`");
  command->add_option("--centroids-per-label", a->probe.centroids_per_label, "Clusters of a label")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command
      ->add_option("--quantile", a->quantile,
                   "Of the test rows' distances to the nearest centroid: tells a `max_distance`")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  a->result.add_to(command);
  command->callback([a] { eval_probe(*a); });
}

}  // namespace guerdon::cli
