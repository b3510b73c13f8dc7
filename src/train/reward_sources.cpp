#include <ATen/ATen.h>

#include "guerdon/loss/sources.h"
#include "train/reward_beside.h"

namespace guerdon::train {
namespace {

/// Files of pairs are weighed so that no one's loss goes up for the others' sake (MORE; Zeng et al.
/// 2023, arXiv:2312.07401).
class Sources final : public Beside {
 public:
  Sources(const BesideNeeds& needs, const Trained& model)
      : settings_(needs.settings.sources),
        pairs_(needs.settings.loss),
        model_(model),
        sources_(static_cast<int64_t>(needs.settings.train.data.train.size())),
        momentum_(at::zeros({sources_, model_->body().hidden_size()}, at::kDouble)) {
    pairs_.loss_type = needs.settings.loss_type;
  }

  std::string name() const override { return "sources"; }
  void collect(int64_t) override {}
  void gradients(const Batch& batch, Gradients& run, const Objective& objective) override {
    const Outputs seen = run.outputs([this](const Batch& part) { return head_reads(part); }, batch);
    Columns columns;
    for (const auto& [name, values] : batch.columns)
      if (values.dim() == 1) columns[name] = first_of_pairs(values);
    const Tensor scores = seen.scores.view({-1, 2});
    const Tensor states = seen.extra.at("states").view({scores.size(0), 2, -1});
    const Tensor source = columns.at("source").to(at::kLong);
    const Tensor g =
        loss::head_gradients({scores.select(1, 0), scores.select(1, 1)}, columns, pairs_,
                             states.select(1, 0), states.select(1, 1), source, sources_)
            .to(at::kDouble);

    const Tensor present = at::bincount(source, {}, sources_) > 0;
    const double a = settings_.momentum;
    next_ = at::where(present.unsqueeze(1), (1.0 - a) * momentum_ + a * g, momentum_);
    std::vector<bool> there;
    for (int64_t i = 0; i < sources_; ++i) there.push_back(present[i].item<bool>());
    const std::vector<double> weights = loss::source_weights(next_, there, settings_.of_length_one);
    for (int64_t i = 0; i < sources_; ++i) {
      run.add({guerdon::str("sources/", i, "/weight"),
               at::scalar_tensor(weights[static_cast<size_t>(i)], at::kDouble)});
    }
    objective(counted(batch, at::tensor(weights, at::kDouble)
                                 .index_select(0, batch.columns.at("source").to(at::kLong))));
  }
  void end_step() override { momentum_ = next_; }
  void parts(Parts& parts) override { parts.tensor("momentum", momentum_); }

 private:
  static Tensor first_of_pairs(const Tensor& per_row) { return per_row.view({-1, 2}).select(1, 0); }

  /// What the head reads, and what it makes of it.
  Outputs head_reads(const Batch& part) const {
    const Tensor states = model_->states(part.sequences);
    return {.scores = model_->outputs_of(states).squeeze(-1), .extra = {{"states", states}}};
  }

  const SourceSettings& settings_;
  loss::PairOptions pairs_;
  Trained model_;
  int64_t sources_;
  Tensor momentum_, next_;  // [S, H]
};

}  // namespace

void describe(SettingList& field, SourceSettings& s) {
  field("weighting", s.weighting,
        "Weights of the files of pairs: as many as they have rows; or those with which every "
        "file's loss falls, found anew in each step",
        {.choices = {"uniform", "least_norm"}});
  field("momentum", s.momentum, "least_norm: share of the step's own gradient in the running one",
        {.max = 1.0, .above = 0.0});
  field("of_length_one", s.of_length_one,
        "least_norm: bring the gradients of the files to one length first");
}

std::unique_ptr<Beside> make_sources(const BesideNeeds& needs, const Trained& model) {
  return std::make_unique<Sources>(needs, model);
}

Section explain_sources(const SourceSettings& s) {
  return {
      .title = "beside it: sources",
      .lines = {"the loss of a pair of file i counts N lambda_i, N the files in the step",
                guerdon::str("lambda on the simplex makes |sum_i lambda_i m_i| least; m_i <- ",
                             1.0 - s.momentum, " m_i + ", s.momentum,
                             " g_i, g_i the gradient of the file's mean loss to the head",
                             s.of_length_one ? ", each m_i of length 1" : ""),
                "sources/I/weight is N lambda_I; the step's rows are read a second time for it"}};
}

}  // namespace guerdon::train
