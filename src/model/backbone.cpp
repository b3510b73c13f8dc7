#include "guerdon/model/backbone.h"

#include "guerdon/base/error.h"
#include "guerdon/model/decoder.h"
#include "guerdon/model/encoder.h"

namespace guerdon::model {

Backbone::Backbone(data::ModelConfig config, const ModelOptions& options)
    : config_(std::move(config)) {
  set_options(options);
}

void Backbone::set_options(const ModelOptions& options) {
  GUERDON_CHECK(at::isFloatingType(options.parameters), "parameters need a floating dtype");
  GUERDON_CHECK(parameters().empty() || (options.parameters == options_.parameters &&
                                         options.device == options_.device),
                "set_options: dtype and device of the parameters cannot change");
  options_ = options;
  if (options_.compute == at::ScalarType::Undefined) options_.compute = options_.parameters;
}

std::shared_ptr<Backbone> make_backbone(const data::ModelConfig& config,
                                        const ModelOptions& options, bool pooler) {
  if (config.decoder()) return std::make_shared<Decoder>(config, options, false);
  return std::make_shared<Encoder>(config, options, pooler);
}

}  // namespace guerdon::model
