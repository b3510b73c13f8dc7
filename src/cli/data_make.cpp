/// `guerdon data make`: instructions whose true reward is known.
#include <memory>

#include "cli/commands.h"
#include "cli/data.h"
#include "cli/output.h"
#include "guerdon/base/error.h"
#include "guerdon/base/file.h"
#include "guerdon/data/make.h"

namespace guerdon::cli {

void add_data_make(CLI::App* data) {
  struct Arguments {
    data::MakeOptions options;
    std::string output;
  };
  auto arguments = std::make_shared<Arguments>();
  data::MakeOptions& o = arguments->options;
  CLI::App* command =
      add_subcommand(data, "make", "Make data whose true reward is known",
                     "guerdon data make --output data/words --pairs 4000 --temperature 0.2");
  command->add_option("-o,--output", arguments->output, "Folder for the files")->required();
  command->add_option("--task", o.task, "What is asked (there is: words)")->capture_default_str();
  command->add_option("--seed", o.seed, "Same seed, same files")->capture_default_str();
  command->add_option("--sft", o.sft, "Demonstrations")->capture_default_str();
  command->add_option("--pairs", o.pairs, "Preference pairs")->capture_default_str();
  command->add_option("--prompts", o.prompts, "Prompts alone")->capture_default_str();
  command->add_option("--ratings", o.ratings, "Responses with ratings from 0 to 4")
      ->capture_default_str();
  command->add_option("--feedback", o.feedback, "Responses with a principle and whether it holds")
      ->capture_default_str();
  command->add_option("--steps", o.steps, "Solutions in steps, each right or wrong")
      ->capture_default_str();
  command->add_option("--lists", o.lists, "Prompts with four ranked responses")
      ->capture_default_str();
  command
      ->add_option("--chains", o.chains,
                   "Prompts with three ranked responses: a model's, a mixed one, a person's; and "
                   "held-out texts of either for eval detect")
      ->capture_default_str();
  command
      ->add_option("--labels", o.labels,
                   "Responses that are right or wrong, with the kind of their instruction")
      ->capture_default_str();
  command->add_option("--eval", o.eval, "Rows of each held-out file")->capture_default_str();
  command
      ->add_option("--temperature", o.temperature, "Of the Bradley-Terry draw: larger is noisier")
      ->capture_default_str();
  command->add_option("--flip", o.flip, "Share of labels to swap, in [0, 1]")
      ->capture_default_str();
  command->add_flag("--ties", o.ties, "Keep pairs of equal true reward");
  command->add_flag("--margins", o.margins,
                    "Write the difference of the true rewards as \"margin\"");
  command->add_flag("--strengths", o.strengths,
                    "Write how much better the better one is, 1 to 3, as \"strength\", and the "
                    "difference of the true rewards as \"strength_mean\"");
  command->add_flag("--conversational", o.conversational, "Messages in place of plain text");
  command->callback([arguments] {
    const std::filesystem::path folder = arguments->output;
    for (const data::MadeFile& file : data::make_data(arguments->options)) {
      write_file(folder / file.name, file.text);
      write_standard_output((folder / file.name).string() + "\n");
    }
  });
}

}  // namespace guerdon::cli
