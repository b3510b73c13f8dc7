#include "guerdon/model/combine.h"

#include <nlohmann/json.hpp>

#include "guerdon/base/error.h"
#include "model/folder.h"

namespace guerdon::model {
namespace fs = std::filesystem;
namespace {

/// A tensor that one of two folders lacks, or has in another shape.
void check_alike(const ModelTensors& a, const ModelTensors& b) {
  for (const std::string& name : a.names()) {
    if (is_buffer_of_old(name)) continue;
    const data::TensorEntry* other = b.find(name);
    if (other == nullptr)
      fail_input(b.where(), "tensor " + show(name) + " is missing, which " + a.where() + " has");
    if (other->shape != a.find(name)->shape)
      fail_input(b.where() + ": tensor " + show(name), "has another shape than in " + a.where());
  }
}

}  // namespace

void combine_models(const std::vector<WeightedFolder>& models, const fs::path& output) {
  GUERDON_CHECK(!models.empty(), "combine_models: there are no models");
  std::vector<ModelTensors> files;
  std::vector<data::ModelConfig> configs;
  for (const WeightedFolder& model : models) {
    const fs::path folder = model_folder(model.path);
    files.push_back(ModelTensors::of_folder(folder));
    configs.push_back(data::read_model_config(folder));
    if (configs.back().family != configs[0].family)
      fail_input(folder.string(), "is a " + configs.back().family + " model, and " +
                                      models[0].path.string() + " a " + configs[0].family +
                                      " model");
    check_alike(files.front(), files.back());
    check_alike(files.back(), files.front());
  }
  NamedTensors sums;
  for (const std::string& name : files.back().names()) {
    if (is_buffer_of_old(name)) continue;
    Tensor sum;
    for (size_t i = 0; i < files.size(); ++i) {
      const Tensor term = files[i].load(name).to(at::kDouble) * models[i].weight;
      sum = sum.defined() ? sum + term : term;
    }
    sums.emplace_back(name, sum.to(files.back().load(name).scalar_type()));
  }
  NewFolder folder(output);
  const SaveOptions save{.assets = model_folder(models.back().path)};
  write_model_tensors(folder, sums, save.shard_bytes);
  folder.add("config.json", configs.back().json->dump(2) + "\n");
  copy_assets(folder, save, true);
  folder.commit();
}

}  // namespace guerdon::model
