#include "guerdon/generate/sampling.h"

#include <ATen/ATen.h>

#include "guerdon/base/error.h"
#include "guerdon/ops/token_stats.h"

namespace guerdon::generate {

void describe(SettingList& field, SamplingSettings& s) {
  field("temperature", s.temperature, "Divides the logits; 0 takes the likeliest token",
        {.min = 0.0, .max = 100.0});
  field("top_p", s.top_p, "Keeps the likeliest tokens whose chances sum to this; 1 keeps all",
        {.max = 1.0, .above = 0.0});
  field("top_k", s.top_k, "Keeps this many of the likeliest tokens; 0 keeps all", {.min = 0});
  field("min_p", s.min_p, "Keeps tokens with at least this share of the likeliest one's chance",
        {.min = 0.0, .max = 1.0});
  field("repetition_penalty", s.repetition_penalty,
        "Above 1: tokens that were there already lose chance", {.above = 0.0});
}

bool full_vocabulary(const SamplingSettings& s) {
  return s.top_p >= 1.0 && s.top_k == 0 && s.min_p <= 0.0 && s.repetition_penalty == 1.0;
}

ops::Sampled choose(const Tensor& logits, std::span<const double> uniforms,
                    const ops::LogitTransform& transform, const SamplingSettings& s,
                    std::span<const std::vector<int64_t>> seen) {
  const ops::SamplingOptions options{
      .temperature = s.temperature, .top_k = s.top_k, .top_p = s.top_p, .min_p = s.min_p};
  if (s.repetition_penalty == 1.0) return ops::sample_tokens(logits, uniforms, transform, options);

  GUERDON_CHECK(seen.size() == uniforms.size(), "choose: ", seen.size(), " histories for ",
                uniforms.size(), " rows");
  // The penalty acts on the model's logits, that is, after scale and softcap.
  Tensor penalised = logits.to(at::kFloat) * transform.scale;
  if (transform.softcap > 0)
    penalised = at::tanh(penalised / transform.softcap) * transform.softcap;
  for (size_t n = 0; n < seen.size(); ++n) {
    const Tensor ids = std::get<0>(at::_unique(at::tensor(seen[n], at::kLong)));
    Tensor row = penalised[static_cast<int64_t>(n)];
    const Tensor x = row.index_select(0, ids);
    row.index_copy_(0, ids, at::where(x > 0, x / s.repetition_penalty, x * s.repetition_penalty));
  }
  ops::Sampled out = ops::sample_tokens(penalised, uniforms, {}, options);
  ops::LogitTransform tempered = transform;
  tempered.temperature = s.temperature > 1e-5 ? s.temperature : 1.0;
  out.logprob = ops::token_stats(logits, out.token.clamp_min(0), tempered).logprob;
  return out;
}

}  // namespace guerdon::generate
