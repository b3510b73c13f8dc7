// A reward model by a loop of one's own, out of the library's parts: training_loop MODEL PAIRS
// OUTPUT
#include <ATen/ATen.h>

#include <iostream>

#include "guerdon/data/encode.h"
#include "guerdon/data/sampler.h"
#include "guerdon/data/source.h"
#include "guerdon/loss/reward_model.h"
#include "guerdon/model/reward_model.h"
#include "guerdon/optim/optimizer.h"
#include "guerdon/optim/schedule.h"

namespace gd = guerdon;

/// The pairs at these places as one packed batch: nothing is padded, and a prompt is computed once
/// for its two responses.
gd::PackedBatch pack_pairs(const gd::data::DataSource& pairs, const gd::data::Encoder& encoder,
                           const std::vector<gd::data::Place>& places) {
  std::vector<gd::Sequence> sequences;
  std::vector<int64_t> groups{0};
  for (const gd::data::Place& place : places) {
    gd::data::EncodedPair pair = encoder.reward_pair(pairs.at(place.row));
    sequences.push_back({.tokens = std::move(pair.chosen.tokens)});
    sequences.push_back({.tokens = std::move(pair.rejected.tokens)});
    groups.push_back(static_cast<int64_t>(sequences.size()));
  }
  return gd::pack(sequences, groups);
}

int main(int argc, char** argv) try {
  if (argc != 4) throw std::invalid_argument("three arguments: MODEL PAIRS OUTPUT");
  const auto folder = gd::model::model_folder(argv[1]);
  const auto tokenizer = gd::text::Tokenizer::load(folder);
  const gd::data::Encoder encoder(tokenizer, nullptr);  // plain text: no chat template
  const gd::data::DataSource pairs(argv[2]);
  const auto model = gd::model::load_reward_model(folder, {.new_head = true});

  gd::optim::AdamW optimizer(
      gd::optim::trained_parameters([&](gd::Parts& parts) { parts.module("model", *model); }), {});
  const gd::optim::ScheduleOptions schedule{.lr_scheduler_type = "cosine", .warmup_steps = 10};
  gd::data::Sampler order({pairs.size()}, {.seed = 42});

  const int64_t steps = 200, batch = 32;
  for (int64_t step = 0; step < steps; ++step) {
    const at::Tensor scores =
        model->scores(pack_pairs(pairs, encoder, order.next(batch))).view({batch, 2});
    const gd::loss::PairScores pair{scores.select(1, 0), scores.select(1, 1)};
    const at::Tensor loss = gd::loss::pair_loss(pair).mean();

    optimizer.zero_grad();
    loss.backward();
    const double rate = 2e-3 * gd::optim::schedule_factor(schedule, step, steps, 2e-3);
    optimizer.step(rate, gd::optim::clipping_of(optimizer, 1.0));
    if (step % 20 == 0 || step + 1 == steps) {
      const double right = (pair.chosen > pair.rejected).to(at::kFloat).mean().item<double>();
      std::cout << "step " << step + 1 << " loss " << loss.item<double>() << " accuracy " << right
                << "\n";
    }
  }

  // The saved model is opened again, and must give these pairs the very same scores.
  const gd::PackedBatch probe = pack_pairs(pairs, encoder, order.next(4));
  gd::model::save_reward_model(*model, argv[3], {.assets = folder}, &probe);
  std::cout << "model: " << argv[3] << "\n";
} catch (const std::exception& e) {
  std::cerr << e.what() << "\n";
  return 1;
}
