#!/usr/bin/env python3
"""Reward models from wrong labels: plain Bradley-Terry and the robust objectives, on made data whose truth is known.

At 0, 20 and 40 % swapped labels each objective trains the same small model on the same pairs, once for each seed (of the data, the model and the
order); judged by the order of the true rewards on 1,000 held-out pairs. The table gives the mean over seeds with its 95 % interval (Student's
t), and the mean difference to the plain objective on the same seed with its own.

    python benchmarks/noise_study.py --guerdon build/release/bin/guerdon --results noise.jsonl --jobs 2

Results are added to the file as they come; what is in it is not run again.
"""
import argparse
import concurrent.futures
import json
import math
import statistics
import subprocess
import tempfile
from pathlib import Path

FLIPS = (0.0, 0.2, 0.4)
PLAIN = "plain"
OBJECTIVES = {
    PLAIN: {},
    "label smoothing 0.1": {"label_smoothing": 0.1},
    "label smoothing 0.3": {"label_smoothing": 0.3},
    "dynamic labels, rate 0.1": {"dynamic_label_rate": 0.1},
    "dynamic labels, rate 0.3": {"dynamic_label_rate": 0.3},
    # A second model, other weights; both assume the share that is really swapped, of which nothing is left out at 0.
    "peers that review each other": lambda folder, flip: {"peer": {"model_name_or_path": str(folder / "peer"), "noise": flip}},
    # What three plain models, trained on the same pairs from other weights, say of each pair.
    "flips and margins by an ensemble": lambda folder, flip: {"data": {"train": [str(folder / "strong.jsonl")]}, "flip_below": 0,
                                                              "adaptive_margin": True},
}
MEMBERS = 3
# 0.975 quantiles of Student's t for 1, 2, ... degrees of freedom.
T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


class Study:
    def __init__(self, arguments):
        self.guerdon, self.pairs = arguments.guerdon, arguments.pairs

    def run(self, *words):
        done = subprocess.run([self.guerdon, "--threads", "1", "--quiet", *map(str, words)], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)
        return done.stdout

    def new_model(self, folder, name, seed):
        self.run("model", "new", "--tokenizer", folder / "tokenizer", "--hidden-size", 128, "--layers", 2, "--heads", 4, "--positions", 512,
                 "--seed", seed, "-o", folder / name)

    def train(self, folder, model, seed, run, extra):
        settings = {"model_name_or_path": str(folder / model), "data": {"train": [str(folder / "data" / "pairs.jsonl")]},
                    "learning_rate": 1e-3, "lr_scheduler_type": "cosine", "warmup_steps": 20, "per_device_train_batch_size": 32,
                    "num_train_epochs": 2, "seed": seed, "save_strategy": "no", **extra}
        config = folder / "settings.json"
        config.write_text(json.dumps(settings))
        self.run("train", "reward", "--config", config, "--output", run)

    def members(self, folder, seed):
        """Another model to start from, and the pairs with what an ensemble of plain models says of them."""
        self.new_model(folder, "peer", 100 + seed)
        scores = []
        for member in range(MEMBERS):
            name = "peer" if member == 0 else f"member{member}"
            if member > 0:
                self.new_model(folder, name, 100 * (member + 1) + seed)
            self.train(folder, name, seed, folder / f"run{member}", {})
            out = folder / f"scores{member}.jsonl"
            self.run("score", "--reward", folder / f"run{member}", "--data", folder / "data" / "pairs.jsonl", "-o", out)
            scores += ["--scores", out]
        self.run("data", "strength", "--data", folder / "data" / "pairs.jsonl", *scores, "-o", folder / "strong.jsonl")

    def accuracies(self, flip, seed, objectives):
        """Of each objective, with one set of data and one model to start from."""
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            few = ("--sft", 1, "--prompts", 1)
            self.run("data", "make", "-o", folder / "data", *few, "--pairs", self.pairs, "--eval", 0, "--flip", flip, "--seed", seed)
            # A temperature near zero: the labels are the order of the true rewards.
            self.run("data", "make", "-o", folder / "truth", *few, "--pairs", 1, "--eval", 1000, "--temperature", 1e-4, "--seed", 1000 + seed)
            self.run("tokenizer", "train", "--data", folder / "data" / "pairs.jsonl", "--vocabulary-size", 512, "-o", folder / "tokenizer")
            self.new_model(folder, "model", seed)
            for name in objectives:
                extra, run = OBJECTIVES[name], folder / "run"
                if callable(extra):
                    if not (folder / "peer").exists():
                        self.members(folder, seed)
                    extra = extra(folder, flip)
                self.train(folder, "model", seed, run, extra)
                judged = json.loads(self.run("eval", "reward", "--model", run, "--data", folder / "truth" / "pairs_eval.jsonl", "--json"))
                yield {"flip": flip, "seed": seed, "objective": name, "accuracy": judged["accuracy"], "ece": judged["ece"]}
                subprocess.run(["rm", "-r", run], check=True)


def mean_and_half(values):
    half = T[len(values) - 2] * statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return statistics.mean(values), half


def table(results):
    print("| objective | " + " | ".join(f"{flip:.0%} swapped | beside plain" for flip in FLIPS) + " |\n|---" * 1 + "|---" * (2 * len(FLIPS)) + "|")
    for name in OBJECTIVES:
        cells = []
        for flip in FLIPS:
            of = lambda objective: {r["seed"]: 100 * r["accuracy"] for r in results if r["flip"] == flip and r["objective"] == objective}
            own, plain = of(name), of(PLAIN)
            if not own:
                cells += ["", ""]
                continue
            cells.append("%.1f ± %.1f" % mean_and_half(list(own.values())))
            both = [own[seed] - plain[seed] for seed in own if seed in plain]
            cells.append("" if name == PLAIN else "%+.1f ± %.1f" % mean_and_half(both))
        print(f"| {name} | " + " | ".join(cells) + " |")
    print(f"\nSeeds: {len({r['seed'] for r in results})}. Accuracy in %, mean ± half of the 95 % interval.")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--guerdon", required=True)
    parser.add_argument("--results", required=True, type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=4000)
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    study = Study(arguments)
    known = [json.loads(line) for line in open(arguments.results)] if arguments.results.exists() else []
    done = {(r["flip"], r["seed"], r["objective"]) for r in known}

    def one(flip, seed):
        missing = [name for name in OBJECTIVES if (flip, seed, name) not in done]
        for result in study.accuracies(flip, seed, missing) if missing else ():
            with open(arguments.results, "a") as file:
                file.write(json.dumps(result) + "\n")
            known.append(result)

    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for future in [pool.submit(one, flip, seed) for seed in range(arguments.seeds) for flip in FLIPS]:
            future.result()
    table(known)


if __name__ == "__main__":
    main()
