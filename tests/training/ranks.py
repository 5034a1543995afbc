"""Trains on fixed batches with as many ranks as told, and saves the weights: python -m tests.training.ranks N FILE"""

import sys

from safetensors.torch import save_file

from tests.training.conftest import fit, module_of, random_batches, sae_of

if __name__ == "__main__":
    n_ranks, path = int(sys.argv[1]), sys.argv[2]
    saes = {
        "a": sae_of("topk", k=4),
        "b": sae_of("standard", l1_coefficient=0.5),
        "c": sae_of("jumprelu", l0_coefficient=0.1),
        "d": sae_of("gated", l1_coefficient=0.5),
    }
    module = module_of(saes, dead_after_tokens=320)
    fit(module, random_batches(30, batch=48), devices=n_ranks, strategy="ddp" if n_ranks > 1 else "auto")
    if module.trainer.is_global_zero:
        save_file({name: value.contiguous() for name, value in module.state_dict().items() if "saes" in name}, path)
