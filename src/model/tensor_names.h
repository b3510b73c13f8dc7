/// How a family's files name and lay out the tensors of our modules.
#pragma once

#include <string>
#include <vector>

#include "guerdon/data/hf_config.h"
#include "guerdon/ops/tensor.h"

namespace torch::nn {
class Module;
}

namespace guerdon::model {

/// How a stored tensor holds our parameters.
enum class Layout {
  stacked,     ///< one below the other, along dimension 0 (a single one is stored as it is)
  transposed,  ///< stacked, then transposed: GPT-2's Conv1D [in, out]
  per_head,    ///< [heads, 3, D, ...]: GPT-NeoX's query_key_value
};

/// One tensor of a file.
struct StoredTensor {
  std::string name;  ///< with the body's prefix: "model.layers.0.self_attn.q_proj.weight"
  std::vector<std::string> parts;  ///< names of our parameters: "layer0.query.weight"
  Layout layout = Layout::stacked;
};

/// What the files of one model call things.
struct TensorNames {
  std::string prefix;                 ///< of the body; files of a bare body lack it
  std::vector<StoredTensor> tensors;  ///< all of the module's parameters
  /// Linear modules: "self_attn.q_proj" -> {"query"}, for LoRA.
  struct LinearName {
    std::string name;
    std::vector<std::string> parts;
    Layout layout;
  };
  std::string layer_prefix;  ///< with the body's: "model.layers."
  std::vector<LinearName> linears;
};

/// The names for the parameters of `body` (a Decoder or an Encoder of this configuration).
TensorNames tensor_names(const data::ModelConfig& config, const torch::nn::Module& body);

/// True for tensors that files hold and models do not need: attention masks, rotary tables,
/// position ids.
bool is_buffer_of_old(const std::string& name);

/// Our parameters from a stored tensor, views where possible. `sizes`: rows of each part; `heads`
/// for per_head.
std::vector<Tensor> split(const Tensor& stored, Layout layout, const std::vector<int64_t>& rows,
                          int64_t heads);
/// The stored tensor from our parameters.
Tensor join(const std::vector<Tensor>& parts, Layout layout, int64_t heads);
/// Its shape.
std::vector<int64_t> joined_shape(const std::vector<Tensor>& parts, Layout layout);

}  // namespace guerdon::model
