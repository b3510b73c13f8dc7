#!/usr/bin/env python3
"""How long the program takes to start, and what memory that takes: startup.py PROGRAM

Each command's --help (which loads what the command needs), `version` and `doctor` (which also examines the machine, and is told
only): the median of 7, and the least processor time, which tells more on a busy machine. The last line sums up. Fails above
0.35 s, and above 150 MB for --help alone.
"""
import os
import re
import statistics
import subprocess
import sys
import time

RUNS, SECONDS, MEGABYTES = 7, 0.35, 150


def start(command):
    """(seconds, processor seconds, peak memory in MB) of one run."""
    begun = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"{' '.join(command)}: exit code {child.returncode}")
    return time.perf_counter() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main():
    program = sys.argv[1]
    help_text = subprocess.run([program, "--help"], check=True, capture_output=True, text=True).stdout
    commands = re.findall(r"^  ([a-z]+) ", help_text[help_text.index("Commands"):], re.MULTILINE)
    too_much, figures = [], {}
    for arguments in [["--help"], ["version"], ["doctor"], *([c, "--help"] for c in commands)]:
        runs = [start([program, *arguments]) for _ in range(RUNS)]
        median, work, peak = statistics.median(r[0] for r in runs), min(r[1] for r in runs), max(r[2] for r in runs)
        figure = f"median {median:.3f} s, processor {work:.3f} s, {peak:.0f} MB"
        line = f"guerdon {' '.join(arguments)}: {figure}"
        print(line, flush=True)
        figures[" ".join(arguments)] = median, figure
        if (median > SECONDS and arguments != ["doctor"]) or (arguments == ["--help"] and peak > MEGABYTES):
            too_much.append(line)
    slowest = max((name for name in figures if name != "doctor"), key=lambda name: figures[name][0])
    print(f"{len(figures)} commands, slowest `{slowest}`: {figures[slowest][1]}; " +
          "; ".join(f"`{name}`: {figures[name][1]}" for name in ("--help", "doctor")))
    if too_much:
        sys.exit("too much: " + "; ".join(too_much))


if __name__ == "__main__":
    main()
