#!/usr/bin/env python3
"""Writes the pages that the program itself knows: docs/cli.md from `guerdon ... --help`, docs/settings.md from `guerdon config` and
`guerdon rewards`.

    scripts/docs.py PROGRAM          writes them; PROGRAM is a built guerdon (build/dev/bin/guerdon)
    scripts/docs.py PROGRAM --check  names the pages that are out of date, links that lead nowhere, and code in README.md that is not that
                                     of the example; exit code 1 when there is any
"""
import json
import re
import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent.parent / "docs"
METHODS = ["sft", "reward", "features", "dpo", "grpo"]
NOTE = "<!-- Written by scripts/docs.py; change the program, not this page. -->\n"


def ask(program, *arguments):
    return subprocess.run([program, *arguments], check=True, capture_output=True, text=True).stdout


def commands_in(text):
    """Names under "Commands:" of a help text."""
    part = text.partition("\nCommands:\n")[2].partition("\n\n")[0]
    return re.findall(r"^  (\S+)", part, re.MULTILINE)


def cli_page(program):
    pages = []

    def visit(words):
        text = ask(program, *words, "--help")
        pages.append((words, text))
        for name in commands_in(text):
            visit([*words, name])

    visit([])
    out = [NOTE, "# Commands\n", "Results go to standard output, talk to standard error. Exit codes: 0 done, 1 a fault of guerdon's own, "
           "2 settings or\nthe command line, 3 the input, 4 the surroundings (disk, memory, another process), 5 stopped by a guard of the "
           "run;\n128 + the signal's number after a signal.\n"]
    for words, text in pages:
        text = "\n".join(line.rstrip() for line in text.splitlines())
        # What every command says at its end is said once, above.
        text = re.sub(r"\n+Every command also takes [^\n]*\n", "\n\n", text)
        out.append(f"## {' '.join(['guerdon', *words])}\n\n```text\n{text.strip()}\n```\n")
    return "\n".join(out)


def settings_of(template):
    """(path, help, default) of every setting in the text of `guerdon config`."""
    group, help_text = "", ""
    for line in template.splitlines()[1:]:
        text = line.strip()
        if text.startswith("// "):
            help_text = text[3:]
        elif re.fullmatch(r'"\w+": \{', text):
            group = text.split('"')[1] + "."
        elif text.startswith("}"):
            group = ""
        elif text.startswith('"'):
            name, _, default = text.rstrip(",").partition(": ")
            yield group + name.strip('"'), help_text, default


def parts_of(help_text):
    """What it is, and its type with its range: "Peak learning rate. number; must lie in [0, 1]."."""
    kinds = r"(?:list of \w+|string|integer|number|true or false|true, false or null|JSON|One of )"
    match = re.fullmatch(rf"(.*)\. ({kinds}.*)\.", help_text)
    return match.groups() if match else (help_text, "")


def table(rows):
    cell = lambda text: text.replace("|", "\\|")
    lines = ["| setting | default | type and range | what it is |", "|---|---|---|---|"]
    for path, help_text, default in rows:
        what, kind = parts_of(help_text)
        lines.append(f"| `{path}` | `{cell(default)}` | {cell(kind)} | {cell(what)} |")
    return "\n".join(lines) + "\n"


def settings_page(program):
    settings = {m: list(settings_of(ask(program, "config", m))) for m in METHODS}
    paths = [{path: (h, d) for path, h, d in settings[m]} for m in METHODS]
    common = [s for s in settings["sft"] if all(p.get(s[0]) == (s[1], s[2]) for p in paths)]
    out = [NOTE, "# Settings\n", "A settings file is JSON with comments (or YAML); groups are objects in it: `data.train` is "
           "`\"data\": {\"train\": [...]}`.\n`KEY=VALUE` on the command line comes after the file. An unknown key is an error that names the nearest "
           "one.\n`guerdon config METHOD` prints a file with every setting, and the run's `config.json` has those that were used.\n",
           "## All methods\n", "Only `learning_rate` has a default that depends on the method.\n", table(common)]
    shared = {s[0] for s in common}
    for method in METHODS:
        title = ask(program, "config", method).splitlines()[0].removeprefix("// guerdon train ").rstrip(".")
        out += [f"## {title}\n", table([s for s in settings[method] if s[0] not in shared])]
    out += ["## Rewards\n", "A reward is `{\"use\": NAME, ...}`, with `\"of\": [...]` for those made of others. Common to all: `name`, `weight` (0: "
            "only watched),\n`transform` (a list), `on_error` (`\"fail\"`, `\"none\"`, or a number that stands in). See [grpo](guides/grpo.md).\n"]
    for line in ask(program, "rewards", "--json").splitlines():
        kind = json.loads(line)
        out.append(f"### {kind['use']}\n\n{kind['help']}.\n")
        if kind["settings"]:
            out.append(table(reward_settings(program, kind["use"])))
    return "\n".join(out)


def reward_settings(program, use):
    """(name, help, default) from the indented lines below "USE: ..." of `guerdon rewards`."""
    lines = ask(program, "rewards").splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(use + ": "))
    rows = []
    for line in lines[at + 1:]:
        if not line.startswith("    "):
            break
        if line.startswith("        "):
            rows[-1][1] = line.strip()
        else:
            name, _, default = line.strip().partition(" = ")
            rows.append([name, "", default])
    return rows


def faults():
    """Of the pages that people write."""
    root = DOCS.parent
    readme, example = (root / "README.md").read_text(), "examples/01_train_reward_model/train_reward_model.cpp"
    for code in re.findall(r"```cpp\n(.*?)```", readme, re.DOTALL):
        if code not in (root / example).read_text():
            yield f"README.md: its code is not in {example}"
    for page in [*root.glob("*.md"), *DOCS.rglob("*.md"), *root.glob("examples/**/*.md")]:
        prose = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
        for link in re.findall(r"(?:\]\(|src=\")([^)#\"\s]+)", prose):
            if "://" not in link and not (page.parent / link).exists():
                yield f"{page.relative_to(root)}: {link} is not there"


def main():
    program, check = sys.argv[1], "--check" in sys.argv[2:]
    stale = False
    for name, text in (("cli.md", cli_page(program)), ("settings.md", settings_page(program))):
        file = DOCS / name
        if not check:
            file.write_text(text)
        elif not file.exists() or file.read_text() != text:
            print(f"docs/{name}: out of date; scripts/docs.py {program} writes it")
            stale = True
    if check:
        for fault in faults():
            print(fault)
            stale = True
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
