"""A reward in Python: the share of vowels among the letters of a response.

One JSON object a line comes in, with "prompt", "completion", "row" (the other columns of the data) and more; one line goes out for
each, at once: {"score": 0.5, "note": "why"}, or null for no opinion, or {"error": "..."}.
"""
import json
import sys

for line in sys.stdin:
    letters = [c for c in json.loads(line)["completion"].lower() if c.isalpha()]
    if letters:
        vowels = sum(c in "aeiou" for c in letters)
        answer = {"score": vowels / len(letters), "note": f"{vowels} of {len(letters)} letters"}
    else:
        answer = None
    print(json.dumps(answer), flush=True)
