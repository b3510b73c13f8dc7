#!/usr/bin/env python3
"""Tokenizer throughput beside the libraries that people use, one thread each.

    benchmarks/tokenizer_throughput.py --program build/ci/bin/bench_tokenizer_throughput \\
        --tokenizers gpt2/tokenizer.json mistral/tokenizer.model ... --text a.txt

The other library is Hugging Face's `tokenizers` for a tokenizer.json and `sentencepiece` for a *.model. Both run in fresh
processes, by turns, and are measured in processor time: paragraphs one call each, cold (the first pass after loading) and warm,
and the text in one call. Prints medians over the rounds of MB/s and of their ratio. The ids of both must be equal in number.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

PASSES = 5
KINDS = ("cold", "warm", "whole")


def library(path, file, size):
    """What the C++ program does, with the other library."""
    text = open(file, "rb").read()[:size].decode(errors="ignore")
    start = time.process_time()
    if path.endswith(".json"):
        import tokenizers

        tokenizer = tokenizers.Tokenizer.from_file(path)

        def encode(part):
            return tokenizer.encode(part, add_special_tokens=False).ids
    else:
        import sentencepiece

        encode = sentencepiece.SentencePieceProcessor(model_file=path).encode
    load = time.process_time() - start
    parts = text.split("\n\n")

    def once(texts):
        begin = time.process_time()
        ids = sum(len(encode(part)) for part in texts)
        return ids, sum(len(part.encode()) for part in texts) / 1e6 / max(time.process_time() - begin, 1e-6)

    ids, cold = once(parts)
    return {"load_s": load, "ids": ids, "cold": cold,
            "warm": statistics.median(once(parts)[1] for _ in range(PASSES)),
            "whole": statistics.median(once([text])[1] for _ in range(PASSES))}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--tokenizers", nargs="+", required=True)
    parser.add_argument("--text", required=True)
    parser.add_argument("--bytes", type=int, default=200_000, help="of the text; ASCII is cut safely anywhere")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    alone = {**os.environ, "TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}

    def answer(*command):
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=alone)
        return json.loads(done.stdout.splitlines()[-1])

    print(f"{'guerdon / library, MB/s':26}" + "".join(f"{kind:>24}" for kind in KINDS))
    for path in arguments.tokenizers:
        ours, theirs = [], []
        for _ in range(arguments.rounds):
            ours.append(answer(arguments.program, path, arguments.text, str(arguments.bytes)))
            theirs.append(answer(sys.executable, __file__, "--library", path, arguments.text, str(arguments.bytes)))
        assert ours[0]["ids"] == theirs[0]["ids"], f"{path}: {ours[0]['ids']} ids, the library has {theirs[0]['ids']}"
        name = os.path.basename(os.path.dirname(path)) + (" (spm)" if not path.endswith(".json") else "")
        cells = []
        for kind in KINDS:
            ratio = statistics.median(a[kind] / b[kind] for a, b in zip(ours, theirs))
            cells.append(f"{statistics.median(a[kind] for a in ours):8.1f} /{statistics.median(b[kind] for b in theirs):5.1f}"
                         f" ={ratio:5.1f}x")
        print(f"{name:26}" + "".join(f"{cell:>24}" for cell in cells), flush=True)


if sys.argv[1:2] == ["--library"]:
    print(json.dumps(library(sys.argv[2], sys.argv[3], int(sys.argv[4]))))
else:
    main()
