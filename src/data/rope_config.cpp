#include "data/rope_config.h"

#include <cmath>

namespace guerdon::data {
namespace {

double yarn_scale(double factor, double mscale) {
  return factor <= 1.0 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0;
}

}  // namespace

Rope read_rope(const Keys& scaling, const Keys& top, double theta, double partial,
               const DecoderConfig& config) {
  Rope rope;
  std::string type = scaling.text_or("rope_type", scaling.text_or("type", "default"));
  if (type == "su") type = "longrope";
  if (type == "yarn" && top.text_or("model_type", "") == "phi3") type = "longrope";
  rope.theta = scaling.number_or("rope_theta", theta, 1e-3, 1e15);
  rope.max_positions = config.max_positions;
  rope.dimensions =
      static_cast<int64_t>(static_cast<double>(config.head_dim) *
                           scaling.number_or("partial_rotary_factor", partial, 0.0, 1.0));
  if (rope.dimensions < 2 || rope.dimensions % 2 != 0)
    scaling.fail("partial_rotary_factor",
                 str("gives ", rope.dimensions, " rotated dimensions of a head of ",
                     config.head_dim, ", must be even and at least 2"));
  if (type == "default") return rope;

  const auto read_factor = [&] { return scaling.number("factor", 1e-3, 1e6); };
  const auto original = [&](double otherwise) {
    const double inner =
        scaling.number_or("original_max_position_embeddings", otherwise, 1, kMaxPositions);
    return top.number_or("original_max_position_embeddings", inner, 1, kMaxPositions);
  };
  const auto positions = static_cast<double>(config.max_positions);
  if (type == "linear") {
    rope.kind = Rope::Kind::linear;
    rope.factor = read_factor();
  } else if (type == "dynamic") {
    rope.kind = Rope::Kind::dynamic;
    rope.factor = read_factor();
    if (rope.dimensions == 2)
      scaling.fail("rope_type", "dynamic needs more than 2 rotated dimensions");
  } else if (type == "llama3") {
    rope.kind = Rope::Kind::llama3;
    rope.factor = read_factor();
    rope.low_frequency = scaling.number("low_freq_factor", 1e-6, 1e6);
    rope.high_frequency = scaling.number("high_freq_factor", 1e-6, 1e6);
    if (rope.high_frequency <= rope.low_frequency)
      scaling.fail("high_freq_factor", "must be above low_freq_factor");
    rope.original_positions = original(positions);
  } else if (type == "yarn") {
    rope.kind = Rope::Kind::yarn;
    rope.original_positions = original(positions);
    rope.factor = scaling.has("factor") ? read_factor() : positions / rope.original_positions;
    const double mscale = scaling.number_or("mscale", 0, 0, 1e6),
                 all = scaling.number_or("mscale_all_dim", 0, 0, 1e6);
    const double scale = mscale > 0 && all > 0
                             ? yarn_scale(rope.factor, mscale) / yarn_scale(rope.factor, all)
                             : yarn_scale(rope.factor, 1.0);
    rope.attention_factor = scaling.number_or("attention_factor", scale, 0, 1e6);
    const auto or_default = [](double value, double otherwise) {
      return value > 0 ? value : otherwise;
    };
    rope.beta_fast = or_default(scaling.number_or("beta_fast", 0, 0, 1e9), 32);
    rope.beta_slow = or_default(scaling.number_or("beta_slow", 0, 0, 1e9), 1);
    rope.truncate = scaling.boolean_or("truncate", true);
  } else if (type == "longrope") {
    rope.kind = Rope::Kind::longrope;
    const bool phi = top.text_or("model_type", "") == "phi3";
    rope.original_positions = original(phi ? 4096 : positions);
    rope.factor = scaling.has("factor") ? read_factor() : positions / rope.original_positions;
    const double scale =
        rope.factor <= 1.0 || rope.original_positions <= 1
            ? 1.0
            : std::sqrt(1.0 + std::log(rope.factor) / std::log(rope.original_positions));
    rope.attention_factor = scaling.number_or("attention_factor", scale, 0, 1e6);
    const auto pairs = static_cast<size_t>(rope.dimensions / 2);
    rope.short_factors = scaling.numbers("short_factor", pairs, 1e-6, 1e6);
    rope.long_factors = scaling.numbers("long_factor", pairs, 1e-6, 1e6);
  } else {
    scaling.fail("rope_type", "unknown kind " + show(type) +
                                  " (have: default, dynamic, linear, llama3, longrope, yarn)");
  }
  return rope;
}

Rope unscaled_rope(const Keys& top, double theta, double partial, const DecoderConfig& config) {
  static const Json nothing = Json::object();
  return read_rope(Keys(nothing, {}, Kind::input), top, theta, partial, config);
}

Rope read_single_rope(const Keys& keys, const DecoderConfig& config, double default_theta,
                      double partial, const std::string& theta_key) {
  const double theta = keys.number_or(theta_key, default_theta, 1e-3, 1e15);
  for (const char* key : {"rope_scaling", "rope_parameters"})
    if (keys.has(key)) return read_rope(keys.object(key), keys, theta, partial, config);
  return unscaled_rope(keys, theta, partial, config);
}

}  // namespace guerdon::data
