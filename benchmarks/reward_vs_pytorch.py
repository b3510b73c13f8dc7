#!/usr/bin/env python3
"""A reward model beside a plain PyTorch one: the same encoder, head, rows, order and budget; how well does each judge?

Both start from one BertForSequenceClassification (the encoder's weights, a head from a seed) and learn Bradley-Terry on the HH-RLHF training
pairs: AdamW, learning rate 5e-5, linear, 10 % warm-up, batch 16, two epochs, float32, no dropout, pairs of at most 256 tokens a side. Judged on
the held-out pairs, LLMBar, RM-Bench and HHH, texts of at most 512 tokens. One table: accuracy of each over all seeds, and the paired bootstrap
interval of the difference.

    python benchmarks/reward_vs_pytorch.py --guerdon build/release/bin/guerdon --encoder DIR --data FOLDER

FOLDER: with hh-rlhf, llmbar, rm-bench and hhh-alignment. DIR: a BERT folder, such as all-MiniLM-L6-v2. Needs the Python package transformers.
"""
import argparse
import gzip
import itertools
import json
import os
import random
import subprocess
import tempfile
from pathlib import Path

RATE, BATCH, EPOCHS, WARMUP, TRAIN_LENGTH, LENGTH = 5e-5, 16, 2, 0.1, 256, 512


def rows_of(path):
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


def text_of(prompt, response):
    """Conversations as the plain text that an encoder reads."""
    if isinstance(prompt, str):
        return prompt + "\n" + response
    return "\n".join(message["role"] + ": " + message["content"] for message in prompt + response)


def training_pairs(folder):
    return [(text_of(r["prompt"], r["chosen"]), text_of(r["prompt"], r["rejected"])) for r in rows_of(folder / "hh-rlhf" / "train.jsonl.gz")]


def test_pairs(folder):
    """Of each set, (chosen, rejected) texts; RM-Bench's rows give nine."""
    sets = {name: [(text_of(r["prompt"], r["chosen"]), text_of(r["prompt"], r["rejected"])) for r in rows_of(folder / file)]
            for name, file in (("HH-RLHF", "hh-rlhf/test.jsonl.gz"), ("LLMBar", "llmbar/pairs.jsonl"), ("HHH", "hhh-alignment/pairs.jsonl"))}
    sets["RM-Bench"] = [(text_of(r["prompt"], chosen), text_of(r["prompt"], rejected))
                        for file in sorted((folder / "rm-bench").glob("*.jsonl.gz")) for r in rows_of(file)
                        for chosen, rejected in itertools.product(r["chosen"], r["rejected"])]
    return sets


class Reference:
    """Plain PyTorch, padded batches."""

    def __init__(self, folder):
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        self.torch = torch
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModelForSequenceClassification.from_pretrained(folder)
        self.model.eval()  # no dropout

    def length(self, text):
        return len(self.tokenizer(text)["input_ids"])

    def scores(self, texts):
        return self.model(**self.tokenizer(texts, padding=True, return_tensors="pt")).logits[:, 0]

    def train(self, pairs):
        parameters = [p for name, p in self.model.named_parameters() if name != "classifier.bias"]  # it cancels
        optimizer = self.torch.optim.AdamW(parameters, lr=RATE, weight_decay=0.0)
        steps = EPOCHS * -(-len(pairs) // BATCH)
        warmup = -(-steps * WARMUP // 1)
        schedule = self.torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda step: step / warmup if step < warmup else (steps - step) / (steps - warmup))
        losses = []
        for _ in range(EPOCHS):
            for begin in range(0, len(pairs), BATCH):
                batch = pairs[begin:begin + BATCH]
                difference = self.scores([p[0] for p in batch]) - self.scores([p[1] for p in batch])
                loss = -self.torch.nn.functional.logsigmoid(difference).mean()
                optimizer.zero_grad()
                loss.backward()
                self.torch.nn.utils.clip_grad_norm_(parameters, 1.0)
                optimizer.step()
                schedule.step()
                losses.append(loss.item())
        return losses

    def judge(self, texts):
        """By length, so that little is padded."""
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        out = [0.0] * len(texts)
        with self.torch.no_grad():
            for begin in range(0, len(order), 32):
                chosen = order[begin:begin + 32]
                for i, score in zip(chosen, self.scores([texts[i] for i in chosen]).tolist()):
                    out[i] = score
        return out


class Ours:
    def __init__(self, guerdon, model, folder):
        self.guerdon, self.model, self.folder = guerdon, model, folder

    def run(self, *arguments):
        subprocess.run([self.guerdon, "--quiet", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)

    def write(self, name, rows):
        with open(self.folder / name, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
        return self.folder / name

    def train(self, pairs):
        data = self.write("train.jsonl", ({"prompt": "", "chosen": chosen, "rejected": rejected} for chosen, rejected in pairs))
        settings = {"model_name_or_path": str(self.model), "data": {"train": [str(data)], "transcripts": False}, "learning_rate": RATE,
                    "lr_scheduler_type": "linear", "warmup_steps": WARMUP, "per_device_train_batch_size": BATCH, "num_train_epochs": EPOCHS,
                    "max_length": TRAIN_LENGTH, "train_sampling_strategy": "sequential", "save_strategy": "no"}
        config = self.folder / "settings.json"
        config.write_text(json.dumps(settings))
        self.run("train", "reward", "--config", config, "--output", self.folder / "run")
        with open(self.folder / "run" / "metrics.jsonl") as lines:
            return [json.loads(line)["loss"] for line in lines]

    def judge(self, texts):
        data, out = self.write("texts.jsonl", ({"text": text} for text in texts)), self.folder / "scores.jsonl"
        self.run("score", "--reward", self.folder / "run", "--data", data, "--keep-transcripts", "--output", out)
        with open(out) as lines:
            return [json.loads(line)["total"] for line in lines]


def right(judge, pairs):
    texts = list(dict.fromkeys(text for pair in pairs for text in pair))  # RM-Bench's stand in three pairs each
    score = dict(zip(texts, judge(texts)))
    return [float(score[chosen] > score[rejected]) for chosen, rejected in pairs]


def interval(differences, draws=2000):
    """Of the mean, by resampling rows: each row's mean over the seeds."""
    generator = random.Random(0)
    means = sorted(sum(generator.choices(differences, k=len(differences))) / len(differences) for _ in range(draws))
    return means[int(0.025 * draws)], means[int(0.975 * draws)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--guerdon", required=True)
    parser.add_argument("--encoder", required=True)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--pairs", type=int, help="of the training pairs")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    os.environ["OMP_NUM_THREADS"] = str(arguments.threads)
    import torch
    import transformers

    torch.set_num_threads(arguments.threads)
    transformers.utils.logging.set_verbosity_error()
    tests = test_pairs(arguments.data)
    found = {name: [] for name in tests}  # of each seed, (ours, theirs) of each pair
    for seed in range(arguments.seeds):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            torch.manual_seed(seed)
            model = transformers.BertForSequenceClassification.from_pretrained(arguments.encoder, num_labels=1)
            model.save_pretrained(folder / "start")
            transformers.AutoTokenizer.from_pretrained(arguments.encoder).save_pretrained(folder / "start")
            reference, ours = Reference(folder / "start"), Ours(arguments.guerdon, folder / "start", folder)
            fits = lambda pair, most: max(map(reference.length, pair)) <= most
            if seed == 0:
                kept = [pair for pair in training_pairs(arguments.data) if fits(pair, TRAIN_LENGTH)][:arguments.pairs]
                tests = {name: [pair for pair in pairs if fits(pair, LENGTH)] for name, pairs in tests.items()}
            pairs = kept[:]
            random.Random(seed).shuffle(pairs)
            losses = list(zip(ours.train(pairs), reference.train(pairs)))
            print(f"seed {seed}: {len(pairs)} pairs, {len(losses)} steps; losses differ by at most {max(abs(a - b) for a, b in losses[:10]):.1e} "
                  f"in the first ten, {max(abs(a - b) for a, b in losses):.1e} in all", flush=True)
            for name in tests:
                found[name].append((right(ours.judge, tests[name]), right(reference.judge, tests[name])))
    print("\n| set | pairs | guerdon | PyTorch | difference, 95 % |\n|---|---|---|---|---|")
    for name, seeds in found.items():
        count = len(tests[name])
        ours_mean, theirs_mean = (sum(sum(seed[side]) for seed in seeds) / (count * len(seeds)) for side in (0, 1))
        low, high = interval([sum(seed[0][i] - seed[1][i] for seed in seeds) / len(seeds) for i in range(count)])
        print(f"| {name} | {count} | {100 * ours_mean:.1f} % | {100 * theirs_mean:.1f} % | {100 * low:+.1f} to {100 * high:+.1f} |")


if __name__ == "__main__":
    main()
