#include "model/rotary.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "guerdon/base/error.h"

namespace guerdon::model {
namespace {

// Everything in float32 and in Transformers' order of operations: at position 10^4 the rounding of
// a frequency is 10^-3 of an angle.
Tensor float_tensor(const std::vector<double>& values) {
  Tensor out = at::empty({static_cast<int64_t>(values.size())}, at::kFloat);
  std::transform(values.begin(), values.end(), out.data_ptr<float>(),
                 [](double x) { return static_cast<float>(x); });
  return out;
}

// base^(2i / R)
Tensor powers(double base, int64_t dimensions) {
  const Tensor exponent =
      at::arange(0, dimensions, 2, at::kFloat) / static_cast<double>(dimensions);
  return at::pow(at::Scalar(base), exponent);
}

Tensor llama3(const data::Rope& rope) {
  const Tensor inverse = powers(rope.theta, rope.dimensions).reciprocal();
  const Tensor wavelength = 2 * std::numbers::pi / inverse;
  const double low = rope.original_positions / rope.low_frequency,
               high = rope.original_positions / rope.high_frequency;
  const Tensor slowed = at::where(wavelength > low, inverse / rope.factor, inverse);
  const Tensor smooth = (rope.original_positions / wavelength - rope.low_frequency) /
                        (rope.high_frequency - rope.low_frequency);
  const Tensor between = (1 - smooth) * slowed / rope.factor + smooth * slowed;
  return at::where((wavelength >= high).logical_and(wavelength <= low), between, slowed);
}

Tensor yarn(const data::Rope& rope) {
  const auto dimensions = static_cast<double>(rope.dimensions);
  const auto correction = [&](double rotations) {
    return dimensions * std::log(rope.original_positions / (rotations * 2 * std::numbers::pi)) /
           (2 * std::log(rope.theta));
  };
  double low = correction(rope.beta_fast), high = correction(rope.beta_slow);
  if (rope.truncate) low = std::floor(low), high = std::ceil(high);
  low = std::max(low, 0.0), high = std::min(high, dimensions - 1);
  if (low == high) high += 0.001;
  const Tensor frequency = powers(rope.theta, rope.dimensions);
  const Tensor extrapolated = frequency.reciprocal(),
               interpolated = (rope.factor * frequency).reciprocal();
  const Tensor kept =
      1 - ((at::arange(rope.dimensions / 2, at::kFloat) - low) / (high - low)).clamp(0, 1);
  return interpolated * (1 - kept) + extrapolated * kept;
}

}  // namespace

Rotary::Rotary(const data::Rope& rope) : rope_(rope) {
  using Kind = data::Rope::Kind;
  const Tensor plain = powers(rope.theta, rope.dimensions);
  switch (rope.kind) {
    case Kind::standard:
    case Kind::dynamic: fixed_ = plain.reciprocal(); break;
    case Kind::linear: fixed_ = plain.reciprocal() / rope.factor; break;
    case Kind::llama3: fixed_ = llama3(rope); break;
    case Kind::yarn: fixed_ = yarn(rope); break;
    case Kind::longrope:
      fixed_ = (float_tensor(rope.short_factors) * plain).reciprocal();
      long_ = (float_tensor(rope.long_factors) * plain).reciprocal();
      break;
  }
}

bool Rotary::depends_on_length() const {
  return rope_.kind == data::Rope::Kind::dynamic || rope_.kind == data::Rope::Kind::longrope;
}

Tensor Rotary::inverse_frequencies(const Tensor& lengths) const {
  if (rope_.kind == data::Rope::Kind::longrope) {
    const Tensor beyond = (lengths > rope_.original_positions).unsqueeze(1);
    return at::where(beyond, long_.to(lengths.device()), fixed_.to(lengths.device()));
  }
  // The base grows with the length past max_positions, in float64 as Transformers computes it.
  const auto dimensions = static_cast<double>(rope_.dimensions);
  const auto limit = static_cast<double>(rope_.max_positions);
  const Tensor length = lengths.to(at::kDouble).clamp_min(limit);
  const Tensor stretch = rope_.factor * length / limit - (rope_.factor - 1);
  const Tensor base = rope_.theta * stretch.pow(dimensions / (dimensions - 2));
  const Tensor exponent =
      at::arange(0, rope_.dimensions, 2, lengths.options().dtype(at::kFloat)) / dimensions;
  return at::pow(base.to(at::kFloat).unsqueeze(1), exponent).reciprocal();
}

RotaryTables Rotary::tables(const Tensor& positions, const Tensor& lengths) const {
  const Tensor frequency =
      depends_on_length() ? inverse_frequencies(lengths) : fixed_.to(positions.device());
  const Tensor angle = positions.to(at::kFloat).unsqueeze(1) * frequency;
  RotaryTables out{angle.cos(), angle.sin()};
  if (rope_.attention_factor != 1.0)
    out = {out.cosine * rope_.attention_factor, out.sine * rope_.attention_factor};
  return out;
}

}  // namespace guerdon::model
