#include "train/trl_names.h"

#include <algorithm>
#include <initializer_list>

namespace guerdon::train {

std::string trl_advice(std::string_view name) {
  struct Group {
    std::initializer_list<std::string_view> names;
    const char* advice;
  };
  static const Group groups[] = {
      {{"packing", "eval_packing", "packing_strategy", "padding_free", "pad_token",
        "pad_to_multiple_of"},
       "nothing is padded here; leave it out"},
      {{"disable_dropout"}, "there is no dropout; leave it out"},
      {{"fp16", "fp16_full_eval", "tf32", "bf16_full_eval"}, "bf16 is the one choice"},
      {{"use_cpu", "no_cuda", "ddp_timeout", "fsdp", "deepspeed", "local_rank"},
       "this build trains on the CPU; leave it out"},
      {{"optim", "optim_args"}, "AdamW is the one optimizer; leave it out"},
      {{"report_to", "logging_strategy", "logging_dir", "disable_tqdm"},
       "metrics.jsonl has every step, tb/ the same for TensorBoard; leave it out"},
      {{"dataset_name", "dataset_config", "dataset_train_split", "dataset_test_split", "datasets"},
       "guerdon reads files: data.train and data.eval"},
      {{"dataset_text_field"}, "rename the column: data.columns=[\"text=NAME\"]"},
      {{"shuffle_dataset"},
       "train_sampling_strategy is \"random\", \"sequential\" or \"balanced\""},
      {{"dataset_num_proc", "dataset_kwargs", "dataloader_num_workers", "dataloader_pin_memory",
        "dataloader_drop_last", "dataloader_prefetch_factor", "remove_unused_columns",
        "precompute_ref_batch_size"},
       "rows are read and encoded on all threads; leave it out"},
      {{"use_liger_kernel", "activation_offloading", "torch_compile", "torch_empty_cache_steps",
        "gradient_checkpointing_kwargs"},
       "there is nothing to choose; leave it out"},
      {{"trust_remote_code", "model_init_kwargs", "torch_dtype", "dtype", "attn_implementation",
        "model_revision"},
       "models are folders on disk, loaded in float32; leave it out"},
      {{"use_peft", "peft_config"}, "lora.r above 0 trains an adapter"},
      {{"lora_r"}, "it is lora.r here"},
      {{"lora_alpha"}, "it is lora.lora_alpha here"},
      {{"lora_target_modules"}, "it is lora.target_modules here"},
      {{"lora_dropout"}, "there is no dropout; leave it out"},
      {{"ref_model"}, "it is models.reference here"},
      {{"rpo_alpha"}, "loss_type [\"sigmoid\", \"sft\"] with loss_weights says the same"},
      {{"max_prompt_length", "max_completion_length"}, "max_length is for the whole row"},
      {{"push_to_hub", "hub_model_id", "hub_token", "hub_strategy"},
       "nothing leaves this machine; leave it out"},
      {{"resume_from_checkpoint"}, "the flag --resume does that"},
      {{"overwrite_output_dir", "do_train", "do_eval"}, "leave it out"},
  };
  for (const Group& group : groups) {
    if (std::find(group.names.begin(), group.names.end(), name) != group.names.end()) {
      return group.advice;
    }
  }
  return {};
}

}  // namespace guerdon::train
