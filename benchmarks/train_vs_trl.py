#!/usr/bin/env python3
"""Training speed and memory beside TRL: the same model, the same rows in the same order, the same losses.

A Qwen2-style model of 40M parameters (hidden 512, 8 layers, 16k vocabulary) trains on real preference pairs, float32, two threads, batch 8,
max_length 512. In each round TRL and guerdon train on the same rows, one after the other; the first step of each is left out; the figure is the
median over the rounds of the ratio of median step times.

    python benchmarks/train_vs_trl.py --guerdon build/release/bin/guerdon --data FOLDER/hh-rlhf/train.jsonl.gz

Needs the Python packages trl, transformers, datasets and tokenizers. Writes a table, and with --json the raw numbers.
"""

import argparse
import gzip
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def read_rows(path):
    opener = gzip.open if str(path).endswith(".gz") else open
    with opener(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def make_models(folder, rows):
    """A tokenizer learnt from the rows, and random weights: a causal model and a reward model with a head."""
    import torch
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM, Qwen2ForSequenceClassification

    tokenizer = Tokenizer(models.BPE())
    # Transformers 5 gives each Qwen2 tokenizer Qwen2's normalizer and pattern, whatever tokenizer.json says: so it must say the same.
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN2_PATTERN), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(vocab_size=16384, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    texts = (m["content"] for row in rows for part in ("prompt", "chosen", "rejected") for m in row[part])
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=CHAT_TEMPLATE)
    torch.manual_seed(0)
    config = dict(vocab_size=16384, hidden_size=512, intermediate_size=1408, num_hidden_layers=8, num_attention_heads=8, num_key_value_heads=2,
                  max_position_embeddings=1024, tie_word_embeddings=False, eos_token_id=2, pad_token_id=0, bos_token_id=None)
    for name, model in (("dpo", Qwen2ForCausalLM(Qwen2Config(**config))),
                        ("reward", Qwen2ForSequenceClassification(Qwen2Config(**config, num_labels=1)))):
        model.save_pretrained(folder / name)
        fast.save_pretrained(folder / name)


def run_trl(algorithm, model, data, steps, batch, threads):
    """Child process: trains, prints one JSON line with the times and losses of the steps."""
    import torch

    torch.set_num_threads(threads)
    import transformers
    from datasets import load_dataset
    from transformers import TrainerCallback

    transformers.utils.logging.set_verbosity_error()
    if algorithm == "reward":
        from trl import RewardConfig as Config, RewardTrainer as Trainer
    else:
        from trl import DPOConfig as Config, DPOTrainer as Trainer

    class Clock(TrainerCallback):
        def __init__(self):
            self.times, self.began = [], 0.0

        def on_step_begin(self, *_, **__):
            self.began = time.perf_counter()

        def on_step_end(self, *_, **__):
            self.times.append(time.perf_counter() - self.began)

    clock = Clock()
    with tempfile.TemporaryDirectory() as out:
        config = Config(output_dir=out, per_device_train_batch_size=batch, max_length=512, max_steps=steps, learning_rate=1e-5,
                        lr_scheduler_type="constant", logging_steps=1, report_to="none", save_strategy="no", use_cpu=True, bf16=False,
                        gradient_checkpointing=False, disable_tqdm=True, train_sampling_strategy="sequential", dataloader_num_workers=0)
        trainer = Trainer(model=str(model), args=config, train_dataset=load_dataset("json", data_files=str(data), split="train"), callbacks=[clock])
        trainer.train()
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    print("RESULT " + json.dumps({"times": clock.times, "losses": losses}), flush=True)


def measured(command, env):
    """Standard output of a command and its peak resident memory in bytes."""
    with tempfile.TemporaryFile() as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.PIPE, env=env)
        errors = process.stderr.read().decode(errors="replace")
        _, status, usage = os.wait4(process.pid, 0)
        out.seek(0)
        text = out.read().decode()
    if status != 0:
        sys.exit(f"{' '.join(map(str, command))}\nfailed:\n{errors[-3000:]}")
    return text, usage.ru_maxrss * 1024


def run_guerdon(args, algorithm, model, data, env):
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [args.guerdon, "train", algorithm, "--output", out, "--threads", str(args.threads), "--quiet",
                   f"model_name_or_path={model}", f"data.train={data}", "max_length=512", f"per_device_train_batch_size={args.batch}",
                   f"max_steps={args.steps}", "learning_rate=1e-5", "lr_scheduler_type=constant", "logging_steps=1", "save_strategy=no",
                   "train_sampling_strategy=sequential"]
        _, memory = measured([str(c) for c in command], env)
        rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    rows = [row for row in rows if "loss" in row]
    return {"times": [row["step_time"] for row in rows], "losses": [row["loss"] for row in rows], "memory": memory}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--guerdon", default="build/release/bin/guerdon")
    parser.add_argument("--data", help="pairs with prompt, chosen, rejected as lists of messages")
    parser.add_argument("--algorithms", nargs="+", default=["reward", "dpo"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", help="where the raw numbers go")
    parser.add_argument("--trl", nargs=3, metavar=("ALGORITHM", "MODEL", "DATA"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.trl:
        return run_trl(*args.trl, args.steps, args.batch, args.threads)

    env = dict(os.environ, OMP_NUM_THREADS=str(args.threads), TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1")
    rows = read_rows(args.data)
    report = {}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        make_models(folder, rows)
        per_round = 3 * args.steps * args.batch  # more than needed: over-long pairs are left out by both
        for algorithm in args.algorithms:
            rounds = []
            for i in range(args.rounds):
                part = [rows[(i * per_round + j) % len(rows)] for j in range(per_round)]
                data = folder / f"{algorithm}-{i}.jsonl"
                data.write_text("".join(json.dumps(row) + "\n" for row in part))
                text, memory = measured([sys.executable, __file__, "--trl", algorithm, str(folder / algorithm), str(data), "--steps", str(args.steps),
                                         "--batch", str(args.batch), "--threads", str(args.threads)], env)
                trl = json.loads(next(line for line in text.splitlines() if line.startswith("RESULT "))[7:]) | {"memory": memory}
                ours = run_guerdon(args, algorithm, folder / algorithm, data, env)
                ratio = statistics.median(trl["times"][1:]) / statistics.median(ours["times"][1:])
                difference = max(abs(a - b) for a, b in zip(trl["losses"], ours["losses"]))
                rounds.append({"trl": trl, "guerdon": ours, "ratio": ratio, "loss_difference": difference})
                print(f"{algorithm} round {i + 1}: TRL {statistics.median(trl['times'][1:]):.3f} s/step, guerdon "
                      f"{statistics.median(ours['times'][1:]):.3f} s/step, ratio {ratio:.2f}, losses within {difference:.1e}", flush=True)
            report[algorithm] = rounds
    print("\n| algorithm | pairs/s, TRL | pairs/s, guerdon | ratio (median of rounds) | peak memory, TRL | guerdon | share | losses differ by at most |")
    print("|---|---|---|---|---|---|---|---|")
    for algorithm, rounds in report.items():
        speed = lambda who: statistics.median(args.batch / statistics.median(r[who]["times"][1:]) for r in rounds)
        memory = lambda who: statistics.median(r[who]["memory"] for r in rounds) / 2**20
        print(f"| {algorithm} | {speed('trl'):.2f} | {speed('guerdon'):.2f} | {statistics.median(r['ratio'] for r in rounds):.2f} | "
              f"{memory('trl'):.0f} MiB | {memory('guerdon'):.0f} MiB | {memory('guerdon') / memory('trl'):.2f} | "
              f"{max(r['loss_difference'] for r in rounds):.1e} |")
    if args.json:
        Path(args.json).write_text(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
