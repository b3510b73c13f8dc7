#include <ATen/ATen.h>

#include "guerdon/base/random.h"
#include "guerdon/loss/contrastive.h"
#include "train/reward_beside.h"

namespace guerdon::train {
namespace {

struct Prototypes final : torch::nn::Module {
  Prototypes(int64_t count, int64_t width, uint64_t seed) {
    const Random random(seed, Purpose::initialise, 0x70726f74);
    Tensor start = at::empty({count, width}, at::kFloat);
    auto* values = start.data_ptr<float>();
    for (int64_t i = 0; i < start.numel(); ++i)
      values[i] = static_cast<float>(random.normal(static_cast<uint64_t>(i)));
    weight = register_parameter("weight", start);
  }
  Tensor weight;  ///< [K, H]
};

/// What the head reads is told apart, whatever the labels are (Wang et al. 2024, Secrets of RLHF
/// II, arXiv:2401.06080, section 3.3). The step's rows are read a second time for it.
class Contrastive final : public Beside {
 public:
  Contrastive(const BesideNeeds& needs, const Trained& model)
      : settings_(needs.settings.contrastive),
        seed_(static_cast<uint64_t>(needs.settings.train.seed)),
        model_(model) {
    if (settings_.form == "swav")
      prototypes_.emplace(settings_.prototypes, model_->body().hidden_size(), seed_);
  }

  std::string name() const override { return "contrastive"; }
  void collect(int64_t step) override { step_ = static_cast<uint64_t>(step); }
  void gradients(const Batch& batch, Gradients& run, const Objective& objective) override {
    objective(batch);
    run.over({.forward = [this](const Batch& part) -> Outputs {
                return {.extra = {{"states", model_->states(part.sequences)}}};
              },
              .loss = [this](const Outputs& out, const Batch& all,
                             const Totals&) { return loss(out.extra.at("states"), all); },
              .additive = false},
             batch);
  }
  void parts(Parts& parts) override {
    if (prototypes_) parts.module("prototypes", *prototypes_);
  }

 private:
  Loss loss(const Tensor& states, const Batch& batch) const {
    const Tensor s = view(states, batch, 0), t = view(states, batch, 1);
    const double temperature = settings_.temperature;
    const Tensor per_view = prototypes_ ? loss::swav(s, t, prototypes_->weight, temperature)
                                        : loss::simcse(s, t, temperature);
    const Tensor value = per_view.mean();
    return {settings_.weight * value, {{"contrastive/loss", value.detach()}}};
  }

  /// [N, H]: the states, of which some elements are dropped; or the differences of pairs of them.
  Tensor view(const Tensor& states, const Batch& batch, uint64_t which) const {
    Tensor kept = at::empty(states.sizes(), at::kFloat);
    const Tensor index = batch.columns.at("index").to(at::kDouble).contiguous();
    const double* row_of = index.const_data_ptr<double>();
    auto* values = kept.data_ptr<float>();
    const int64_t width = states.size(1);
    for (size_t g = 0; g + 1 < batch.group.size(); ++g) {
      for (int64_t row = batch.group[g]; row < batch.group[g + 1]; ++row) {
        // A row's numbers are its own, wherever in the step it stands.
        const auto place = static_cast<uint64_t>(row - batch.group[g]);
        const Random random(seed_, Purpose::dropout, 2 * step_ + which,
                            (static_cast<uint64_t>(row_of[row]) << 16) + place);
        for (int64_t i = 0; i < width; ++i) {
          const bool dropped = random.uniform(static_cast<uint64_t>(i)) < settings_.dropout;
          values[row * width + i] =
              dropped ? 0.0F : static_cast<float>(1.0 / (1.0 - settings_.dropout));
        }
      }
    }
    const Tensor out = states * kept.to(states.device());
    if (settings_.views == "responses") return out;
    const Tensor pairs = out.view({-1, 2, width});
    const Tensor difference = pairs.select(1, 0) - pairs.select(1, 1);
    return at::cat({difference, -difference});
  }

  const ContrastiveSettings& settings_;
  uint64_t seed_, step_ = 0;
  Trained model_;
  std::optional<Prototypes> prototypes_;
};

}  // namespace

void describe(SettingList& field, ContrastiveSettings& s) {
  field("weight", s.weight,
        "Weight of a contrastive loss of the states that the head reads (0: off); 1 is usual for "
        "simcse, 0.1 for swav",
        {.min = 0.0});
  field("form", s.form, "Against the step's other rows, or by prototypes",
        {.choices = {"simcse", "swav"}});
  field("views", s.views,
        "Of what: the states of responses, or the differences of a pair's two, both ways round",
        {.choices = {"responses", "differences"}});
  field("temperature", s.temperature, "Cosines are divided by it", {.above = 0.0});
  field("dropout", s.dropout, "Share of a state's elements that a view leaves out",
        {.min = 0.0, .below = 1.0});
  field("prototypes", s.prototypes, "swav: how many", {.min = 2});
}

std::unique_ptr<Beside> make_contrastive(const BesideNeeds& needs, const Trained& model) {
  return std::make_unique<Contrastive>(needs, model);
}

Section explain_contrastive(const ContrastiveSettings& s) {
  const std::string of =
      s.views == "responses"
          ? "h the states of all responses of the step"
          : "h the differences of the states of the step's pairs, both ways round";
  std::vector<std::string> lines = {guerdon::str("L + ", s.weight, " x the mean over h of l")};
  if (s.form == "simcse") {
    lines.push_back(
        guerdon::str("l_i = -log softmax over j of cos(s_i, t_j) / ", s.temperature, ", at j = i"));
  } else {
    lines.push_back(
        guerdon::str("l_i = -sum_k q_k(s_i) log p_k(t_i) - sum_k q_k(t_i) log p_k(s_i)"
                     ", p_k = softmax over ",
                     s.prototypes, " prototypes c of cos(h, c_k) / ", s.temperature,
                     ", q the same balanced over the step, no gradient"));
  }
  lines.push_back(guerdon::str(of, "; s and t: twice h, each without ", 100 * s.dropout,
                               " % of its elements, another choice each time"));
  lines.emplace_back("the step's rows are read a second time for it");
  return {.title = "beside it: contrastive", .lines = lines};
}

}  // namespace guerdon::train
