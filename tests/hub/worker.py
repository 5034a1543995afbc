"""A process of its own that runs comparisons on demand: the hub's libraries read their settings when imported.

Reads lines of JSON. A list of overrides is answered with the record, a path of an SAE and a residual stream with its
encoding, the overrides of a training run with the names of its SAEs; each with the sentence and the kind of what went
wrong.
"""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import torch
from analogue.comparison.run import compare
from hydra import compose, initialize_config_dir

from analogue.cli.run import quieten
from analogue.saes import load
from analogue.training.run import train_saes

CONF = Path(__file__).parents[2] / "conf"


def answer(request):
    try:
        if isinstance(request, list):
            return {"record": asdict(run(request))}
        return train(request["train"]) if "train" in request else encode(**request)
    except Exception as error:
        return {"error": str(error), "kind": type(error).__name__}


def run(overrides):
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compare(compose("compare", overrides=overrides))


def train(overrides):
    with initialize_config_dir(str(CONF / "training"), version_base="1.3"):
        return {"saes": list(train_saes(compose("train_sae", overrides=overrides)).held_out)}


def encode(path, resid):
    sae = load(path=path)
    acts = sae.encode(torch.tensor(resid))
    return {"acts": acts.tolist(), "decoded": sae.decode(acts).tolist(), "W_dec": sae.W_dec.tolist()}


if __name__ == "__main__":
    quieten()
    answers = sys.stdout
    sys.stdout = sys.stderr
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line)), default=str), file=answers, flush=True)
