#include <ATen/Parallel.h>

#include <cmath>

#include "guerdon/base/error.h"
#include "guerdon/base/random.h"
#include "guerdon/model/pretrained.h"
#include "model/folder.h"

namespace guerdon::model {

uint64_t name_hash(const std::string& name) {
  uint64_t hash = 0xCBF29CE484222325;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001B3;
  return hash;
}

Tensor normal_numbers(at::IntArrayRef shape, double deviation, uint64_t seed,
                      const std::string& name) {
  const Random random(seed, Purpose::initialise, name_hash(name));
  Tensor out = at::empty(shape, at::kFloat);
  auto* values = out.mutable_data_ptr<float>();
  at::parallel_for(0, out.numel(), 1 << 14, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i)
      values[i] = static_cast<float>(deviation * random.normal(static_cast<uint64_t>(i)));
  });
  return out;
}

void initialise(Backbone& body, uint64_t seed) {
  const at::NoGradGuard no_grad;
  const data::ModelConfig& config = body.config();
  // "Language models are unsupervised multitask learners": the residual stream's variance must not
  // grow with depth.
  const bool gpt2 = config.family == "gpt2";
  const double residual =
      gpt2 ? 1.0 / std::sqrt(2.0 * static_cast<double>(config.decoder()->layers.size())) : 1.0;
  for (const auto& parameter : body.named_parameters()) {
    const std::string& name = parameter.key();
    Tensor value = parameter.value();
    if (name.ends_with(".bias")) {
      value.zero_();
    } else if (value.dim() == 1) {
      value.fill_(config.decoder() ? 1.0 - config.decoder()->norm_offset : 1.0);
    } else {
      const bool into_residual = name.ends_with(".output.weight") || name.ends_with(".down.weight");
      value.copy_(normal_numbers(
          value.sizes(), config.initializer_range * (into_residual ? residual : 1.0), seed, name));
    }
  }
}

}  // namespace guerdon::model
