#!/usr/bin/env python3
"""Holds the order of the rooms: reads the #include lines and fails on

  * a room that uses a room below it;
  * a third-party header outside the rooms and files that may see it;
  * LibTorch on the ground floor, or ATen in a .cu file;
  * headers that include each other in a circle;
  * a guerdon/guerdon.h that does not include every public header.

    scripts/check_rooms.py             prints one line for each fault, as FILE:LINE: WHAT; exit code 1 when there is any
    scripts/check_rooms.py --umbrella  writes include/guerdon/guerdon.h anew
"""
import re
import sys
from pathlib import Path

# Each room may use those before it. The bodies of the operators (kernels/) belong to ops.
GROUND = ["base", "math", "text", "data", "rules", "report"]
UPPER = ["ops", "dist", "model", "optim", "generate", "loss", "reward", "eval", "flow", "train", "cli"]
ROOMS = GROUND + UPPER

# Python loads guerdon_ops alone, without base: ops may use of base only what headers hold whole.
BASE_FOR_OPS = {"error.h", "random.h"}

# Who may see a library: (prefix of the header, rooms whose public headers may, rooms whose sources may).
# A source entry "room/file.cpp" admits that one file.
ALL = set(ROOMS)
ON_TORCH = set(UPPER)
LIBRARIES = [
    ("nlohmann/json_fwd.hpp", ALL, ALL),
    ("nlohmann/", set(), ALL),
    ("Eigen/", {"math"}, {"math"}),
    ("unsupported/Eigen/", {"math"}, {"math"}),
    ("pcre2.h", set(), {"text"}),
    ("unicode/", set(), {"text"}),
    ("hdf5", set(), {"data/hdf5_library.h"}),
    ("H5", set(), set()),
    ("arrow/", set(), {"data/parquet.cpp"}),
    ("parquet/", set(), {"data/parquet.cpp"}),
    ("zlib.h", set(), {"data/byte_source.cpp"}),
    ("openssl/", set(), {"base/file.cpp"}),
    ("httplib.h", set(), {"base/http.cpp"}),
    ("spdlog/", set(), {"base/log_spdlog.cpp"}),
    ("fmt/", set(), set()),
    ("yaml-cpp/", set(), {"base/settings_yaml.cpp"}),
    ("CLI/", {"cli"}, {"cli"}),
    ("torch/torch.h", set(), set()),  # 12 s a file; for examples
    ("torch/library.h", {"ops"}, ON_TORCH),
    ("torch/nn/module.h", {"model", "flow"}, ON_TORCH),
    ("torch/csrc/distributed/", {"dist"}, {"dist"}),
    ("ATen/", {"ops"}, ON_TORCH),
    ("c10/", {"ops"}, ON_TORCH),
    ("torch/", set(), ON_TORCH),
    ("cuda", {"kernels/cuda"}, {"kernels/cuda"}),
    ("cub/", {"kernels/cuda"}, {"kernels/cuda"}),
    ("mma.h", {"kernels/cuda"}, {"kernels/cuda"}),
    ("gtest/", set(), set()),
    ("benchmark/", set(), set()),
]

UMBRELLA = "include/guerdon/guerdon.h"
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def room_of(path):
    """The room of a file by its path from the root, or None."""
    parts = path.parts
    if parts[0] == "kernels":
        return "ops"
    if parts[:2] == ("include", "guerdon") and len(parts) > 3:
        return parts[2]
    if parts[0] == "src" and len(parts) > 2:
        return parts[1]
    return None


def included_room(name):
    """(room, file) of an include of ours, or None: guerdon/ROOM/x.h and the private ROOM/x.h."""
    parts = name.split("/")
    if parts[0] == "guerdon":
        parts = parts[1:]
    if len(parts) >= 2 and parts[0] in ROOMS:
        return parts[0], "/".join(parts[1:])
    return None


def may_see(path, room, header):
    """Whether the file may include this third-party (or standard) header."""
    for prefix, headers, sources in LIBRARIES:
        if header.startswith(prefix):
            if path.suffix == ".cu" and prefix in ("ATen/", "c10/", "torch/"):
                return False
            if path.parts[0] == "kernels" and "kernels/cuda" in headers:
                return path.parts[1] == "cuda"
            if path.parts[0] == "include":
                return room in headers
            return room in sources or room in headers or f"{room}/{path.name}" in sources
    return True  # the standard library and the system


def faults_of_file(path, text):
    room = room_of(path)
    if room not in ROOMS:
        yield 1, f"lies in no room (the rooms: {', '.join(ROOMS)})"
        return
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        quote, name = match.groups()
        ours = included_room(name) if quote == '"' else None
        if ours:
            other, file = ours
            if ROOMS.index(other) > ROOMS.index(room):
                yield number, f"{room} uses {other}, which lies below it"
            if room == "ops" and other == "base" and file not in BASE_FOR_OPS:
                yield number, f"ops may use of base only {', '.join(sorted(BASE_FOR_OPS))}, not {file}"
            if path.parts[0] == "include" and not name.startswith("guerdon/"):
                yield number, f"a public header includes the private {name}"
        elif not may_see(path, room, name):
            yield number, f"{name} may not be seen here"


def circles(graph):
    """Circles of a graph {node: nodes it includes}, each as a list of nodes."""
    state, stack = {}, []

    def visit(node):
        state[node] = "open"
        stack.append(node)
        for other in graph.get(node, ()):
            if state.get(other) == "open":
                yield stack[stack.index(other):] + [other]
            elif other not in state:
                yield from visit(other)
        stack.pop()
        state[node] = "done"

    for node in sorted(graph):
        if node not in state:
            yield from visit(node)


def faults(root):
    root = Path(root)
    graph = {}
    for folder in ("include", "src", "kernels"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in (".h", ".cpp", ".cu", ".cuh"):
                continue
            relative = path.relative_to(root)
            outside = relative.parts[:2] == ("include", "guerdon") and len(relative.parts) == 3
            if outside or relative.parts[:-1] == ("src",):
                continue  # guerdon/guerdon.h includes every room; src/pch.cpp is the build's
            text = path.read_text(encoding="utf-8")
            for number, what in faults_of_file(relative, text):
                yield f"{relative}:{number}: {what}"
            if path.suffix == ".h":
                key = "/".join(relative.parts[1:])
                graph[key] = [m.group(2) for m in map(INCLUDE.match, text.splitlines()) if m]
    if (root / UMBRELLA).exists() and (root / UMBRELLA).read_text() != umbrella(root):
        yield f"{UMBRELLA}:1: does not include every public header (scripts/check_rooms.py --umbrella writes it)"
    for circle in circles(graph):
        yield f"{circle[0]}:1: headers include each other: {' -> '.join(circle)}"


def umbrella(root):
    """The text of guerdon/guerdon.h: every public header."""
    include = Path(root) / "include"
    names = sorted(path.relative_to(include).as_posix() for path in include.glob("guerdon/*/*.h"))
    return ("/// All of guerdon, for quick starts. Larger programs include what they use, and compile faster.\n"
            "/// Written by scripts/check_rooms.py --umbrella.\n#pragma once\n\n"
            + "".join(f'#include "{name}"\n' for name in names))


def main():
    root = Path(__file__).resolve().parent.parent
    if sys.argv[1:] == ["--umbrella"]:
        (root / UMBRELLA).write_text(umbrella(root))
        return 0
    found = list(faults(root))
    print("\n".join(found) if found else "rooms: in order")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
