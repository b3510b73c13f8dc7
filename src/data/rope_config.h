/// Private to `data`: rotary frequencies as config.json writes them.
#pragma once

#include <string>

#include "data/config_keys.h"
#include "guerdon/data/hf_config.h"

namespace guerdon::data {

/// One set of frequencies from `scaling` (rope_parameters, rope_scaling, or a part of either).
/// `top` is the whole configuration.
Rope read_rope(const Keys& scaling, const Keys& top, double theta, double partial,
               const DecoderConfig& config);

/// Where nothing scales them.
Rope unscaled_rope(const Keys& top, double theta, double partial, const DecoderConfig& config);

/// The one set of a family that has one: rope_scaling wins over rope_parameters, as in
/// Transformers.
Rope read_single_rope(const Keys& keys, const DecoderConfig& config, double default_theta,
                      double partial = 1.0, const std::string& theta_key = "rope_theta");

}  // namespace guerdon::data
