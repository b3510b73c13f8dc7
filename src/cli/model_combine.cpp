/// `guerdon model average` and `guerdon model extrapolate`: arithmetic on weights.
#include <memory>

#include "cli/commands.h"
#include "cli/model.h"
#include "cli/output.h"
#include "guerdon/base/error.h"
#include "guerdon/model/combine.h"

namespace guerdon::cli {
namespace {

struct AverageArguments {
  std::vector<std::string> models;
  std::vector<double> weights;
  std::string output;
};

struct ExtrapolateArguments {
  std::string from, to, output;
  double factor = 1.0;
};

void average(const AverageArguments& a) {
  if (!a.weights.empty() && a.weights.size() != a.models.size())
    fail_settings("flag --weight",
                  str(a.weights.size(), " weights for ", a.models.size(), " models"));
  double sum = 0.0;
  for (const double weight : a.weights) sum += weight;
  if (!a.weights.empty() && !(sum > 0.0))
    fail_settings("flag --weight", str("the weights add up to ", sum, ", which is no average"));
  std::vector<model::WeightedFolder> models;
  for (size_t i = 0; i < a.models.size(); ++i) {
    const double weight =
        a.weights.empty() ? 1.0 / static_cast<double>(a.models.size()) : a.weights[i] / sum;
    models.push_back({a.models[i], weight});
  }
  model::combine_models(models, a.output);
  write_standard_output(str(a.output, ": the average of ", models.size(), " models\n"));
}

void extrapolate(const ExtrapolateArguments& a) {
  model::combine_models({{a.from, 1.0 - a.factor}, {a.to, a.factor}}, a.output);
  write_standard_output(
      str(a.output, ": ", a.from, " + ", a.factor, " x (", a.to, " - ", a.from, ")\n"));
}

}  // namespace

void add_model_combine(CLI::App* model) {
  auto averaged = std::make_shared<AverageArguments>();
  CLI::App* one =
      add_subcommand(model, "average", "Average the weights of models",
                     "guerdon model average --model runs/a --model runs/b --output models/mean");
  one->add_option("--model", averaged->models, "Model folder or run folder, for each model")
      ->required();
  one->add_option("--weight", averaged->weights, "Of each model, in their order (default: equal)");
  one->add_option("-o,--output", averaged->output, "Folder to write")->required();
  one->callback([averaged] { average(*averaged); });

  auto further = std::make_shared<ExtrapolateArguments>();
  CLI::App* two = add_subcommand(model, "extrapolate", "Go on from one model past another (ExPO)",
                                 "guerdon model extrapolate --from runs/ratings --to runs/rm "
                                 "--factor 1.52 --output models/rm");
  two->add_option("--from", further->from, "Model folder or run folder where the training began")
      ->required();
  two->add_option("--to", further->to, "The one that it led to")->required();
  two->add_option("--factor", further->factor,
                  "a of from + a (to - from): 1 is `to` itself, 1.52 is HelpSteer2-Preference's")
      ->required();
  two->add_option("-o,--output", further->output, "Folder to write")->required();
  two->callback([further] { extrapolate(*further); });
}

}  // namespace guerdon::cli
