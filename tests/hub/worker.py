"""A process of its own that runs comparisons on demand: the hub's libraries read their settings when imported.

Reads lines of JSON. A list of overrides is answered with the record, a path of an SAE and a residual stream with its
encoding, the overrides of a training run with the names of its SAEs; each with the sentence and the kind of what went
wrong.
"""

import json
import sys
from dataclasses import asdict

import torch

from analogue.cli.compare import run_comparison
from analogue.cli.conf import COMPARE, TRAIN_SAE
from analogue.cli.train_sae import train_saes
from analogue.quiet import quiet_libraries
from analogue.saes import load


def answer(request):
    try:
        if isinstance(request, list):
            return {"record": asdict(run(request))}
        return train(request["train"]) if "train" in request else encode(**request)
    except Exception as error:
        return {"error": str(error), "kind": type(error).__name__}


def run(overrides):
    return run_comparison(COMPARE.compose(*overrides))


def train(overrides):
    return {"saes": [each.name for each in train_saes(TRAIN_SAE.compose(*overrides))]}


def encode(path, resid):
    sae = load(path=path)
    acts = sae.encode(torch.tensor(resid))
    return {"acts": acts.tolist(), "decoded": sae.decode(acts).tolist(), "W_dec": sae.W_dec.tolist()}


if __name__ == "__main__":
    answers = sys.stdout
    sys.stdout = sys.stderr
    with quiet_libraries():
        for line in sys.stdin:
            print(json.dumps(answer(json.loads(line)), default=str), file=answers, flush=True)
