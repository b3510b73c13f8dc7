#!/usr/bin/env python3
"""Tokenizer throughput beside the Hugging Face library, one thread each.

    benchmarks/tokenizer_throughput.py --program build/ci/bin/bench_tokenizer_throughput \\
        --tokenizers gpt2/tokenizer.json ... --texts a.txt b.txt

Prints a table: MB/s of both for paragraphs (one call each), for batches of them, and for whole files; best of five rounds.
"""
import argparse
import json
import os
import subprocess
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

import tokenizers  # noqa: E402  (the variables above are read on import)

ROUNDS = 5


def best(megabytes, action):
    fastest = 0.0
    for _ in range(ROUNDS):
        start = time.perf_counter()
        action()
        fastest = max(fastest, megabytes / (time.perf_counter() - start))
    return fastest


def library(path, texts):
    tokenizer = tokenizers.Tokenizer.from_file(path)
    paragraphs = [part for text in texts for part in text.split("\n\n")]
    size = sum(len(text.encode()) for text in texts) / 1e6
    return {
        "ids": sum(len(tokenizer.encode(part, add_special_tokens=False).ids) for part in paragraphs),
        "paragraphs": best(size, lambda: [tokenizer.encode(part, add_special_tokens=False) for part in paragraphs]),
        "batch": best(size, lambda: tokenizer.encode_batch_fast(paragraphs, add_special_tokens=False)),
        "whole": best(size, lambda: [tokenizer.encode(text, add_special_tokens=False) for text in texts]),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--tokenizers", nargs="+", required=True)
    parser.add_argument("--texts", nargs="+", required=True)
    arguments = parser.parse_args()
    texts = [open(path, encoding="utf-8", newline="").read() for path in arguments.texts]
    print(f"tokenizers {tokenizers.__version__}; MB/s, one thread, best of {ROUNDS}")
    print(f"{'':14}{'paragraphs':>24}{'batch':>9}{'whole files':>24}{'with ranges':>13}")
    for path in arguments.tokenizers:
        ours = json.loads(subprocess.run([arguments.program, path, *arguments.texts], check=True, capture_output=True, text=True).stdout)
        theirs = library(path, texts)
        assert ours["ids"] == theirs["ids"], f"{path}: {ours['ids']} ids, the library has {theirs['ids']}"
        name = os.path.basename(os.path.dirname(path))
        columns = [f"{ours[kind]:8.1f} /{theirs[kind]:5.1f} ={ours[kind] / theirs[kind]:5.1f}x" for kind in ("paragraphs", "whole")]
        print(f"{name:14}{columns[0]:>24}{theirs['batch']:9.1f}{columns[1]:>24}{ours['with_ranges']:13.1f}")


main()
