// A Bradley-Terry reward model from preference pairs: train_reward_model MODEL PAIRS HELD_OUT
// OUTPUT
#include <iostream>

#include "guerdon/base/log.h"
#include "guerdon/train/reward.h"
#include "guerdon/train/trainer.h"

int main(int argc, char** argv) try {
  if (argc != 5) throw std::invalid_argument("four arguments: MODEL PAIRS HELD_OUT OUTPUT");
  guerdon::log::set_sink(guerdon::log::standard_sink());

  guerdon::train::RewardSettings settings;  // the struct behind `guerdon config reward`
  settings.train.model_name_or_path = argv[1];
  settings.train.data.train = {argv[2]};
  settings.train.data.eval = {"{\"held_out\": \"" + std::string(argv[3]) + "\"}"};
  settings.train.eval_strategy = "epoch";
  settings.train.per_device_train_batch_size = 32;
  settings.train.learning_rate = 2e-3;
  settings.train.num_train_epochs = 2;

  const auto result =
      guerdon::train::run_training(settings, {.method = "reward", .output = argv[4]});
  std::cout << "model: " << result.model.string() << "\n";
  for (const auto& [name, value] : result.last) std::cout << name << " " << value << "\n";
} catch (const std::exception& e) {
  std::cerr << e.what() << "\n";
  return 1;
}
