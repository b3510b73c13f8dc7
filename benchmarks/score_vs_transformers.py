#!/usr/bin/env python3
"""`guerdon score` beside a Transformers pipeline: the same reward model, the same texts, the same scores.

    benchmarks/score_vs_transformers.py --guerdon build/release/bin/guerdon --model runs/rm --data pairs.jsonl

Data: preference rows of plain text (prompt, chosen, rejected; prompt may be missing). Model: a folder that Transformers opens
as *ForSequenceClassification with one label. By turns, in processor time of one thread each (other load on the machine then counts
little) and in wall time. guerdon's time is the whole command, start-up and writing included, less that of the same command on
one row; the pipeline's is its loop alone.
"""
import argparse
import gzip
import json
import os
import resource
import statistics
import subprocess
import tempfile
import time

CASES = ((1, False), (32, False), (32, True))  # rows a batch, bfloat16


def rows_of(path, count):
    opened = gzip.open(path, "rt", encoding="utf-8") if path.endswith(".gz") else open(path, encoding="utf-8")
    with opened as file:
        rows = [json.loads(line) for _, line in zip(range(count), file)]
    return [{"text": row.get("prompt", "") + row[side]} for row in rows for side in ("chosen", "rejected")]


def ours(arguments, rows, batch, bf16, folder):
    data, out = os.path.join(folder, "rows.jsonl"), os.path.join(folder, "scores.jsonl")

    def run(some):
        with open(data, "w", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in some)
        reward = json.dumps({"use": "model", "path": arguments.model, "bf16": bf16})
        command = [arguments.guerdon, "--threads", "1", "--quiet", "score", "--reward", reward, "--data", data, "--keep-transcripts",
                   "--batch-size", str(batch), "--output", out]
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
        wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
        with open(out, encoding="utf-8") as file:
            totals = [json.loads(line)["total"] for line in file]
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall, totals

    start_cpu, start_wall, _ = run(rows[:1])
    cpu, wall, totals = run(rows)
    return max(cpu - start_cpu, 1e-3), max(wall - start_wall, 1e-3), totals


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--guerdon", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--pairs", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline
    from transformers.utils import logging

    logging.set_verbosity_error()
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    limit = AutoModelForSequenceClassification.from_pretrained(arguments.model).config.max_position_embeddings
    rows = [row for row in rows_of(arguments.data, arguments.pairs) if len(tokenizer(row["text"])["input_ids"]) <= limit]
    texts = [row["text"] for row in rows]
    print(f"{len(rows)} texts; texts/s in processor time of one thread (wall time in brackets), medians of {arguments.rounds}")
    for batch, bf16 in CASES:
        model = AutoModelForSequenceClassification.from_pretrained(arguments.model, dtype=torch.bfloat16 if bf16 else torch.float32)
        judge = pipeline("text-classification", model=model, tokenizer=tokenizer, function_to_apply="none", device="cpu",
                         batch_size=batch)
        judge(texts[:batch])
        results = []
        for _ in range(arguments.rounds):
            with tempfile.TemporaryDirectory() as folder:
                mine = ours(arguments, rows, batch, bf16, folder)
            cpu, wall = time.process_time(), time.perf_counter()
            theirs = [answer["score"] for answer in judge(texts)]
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            results.append((mine[0], mine[1], cpu, wall))
        worst = max(abs(a - b) for a, b in zip(mine[2], theirs))
        assert worst < (0.1 if bf16 else 1e-4), f"the scores differ by {worst}"
        speed = [statistics.median(len(rows) / result[i] for result in results) for i in range(4)]
        ratio = statistics.median(result[2] / result[0] for result in results)
        ratio_wall = statistics.median(result[3] / result[1] for result in results)
        print(f"batch {batch:2} {'bf16' if bf16 else 'fp32'}: guerdon {speed[0]:6.1f} ({speed[1]:6.1f}), pipeline {speed[2]:6.1f} "
              f"({speed[3]:6.1f}): {ratio:.2f}x ({ratio_wall:.2f}x); scores within {worst:.1e}", flush=True)


main()
