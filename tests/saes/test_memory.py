"""A wide SAE opens without a second copy of its weights."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.processes import run
from tests.saes.test_llama_scope import CONFIG as LLAMA_SCOPE

D_IN, D_SAE = 64, 262144
PEAK = """
import sys
from analogue.saes import load, sae_fingerprint
def read(name):
    return int(next(line for line in open("/proc/self/status") if line.startswith(name)).split()[1]) * 1024
load("embedded:stories-6-saes/layer_3")
open("/proc/self/clear_refs", "w").write("5")
before = read("VmRSS")
sae = load(sys.argv[1])
sae_fingerprint(sae)
print((read("VmHWM") - before) / int(sys.argv[2]))
"""


def weights():
    generator = torch.Generator().manual_seed(0)
    wide = torch.randn(D_SAE, D_IN, generator=generator)
    return wide, torch.zeros(D_SAE), torch.zeros(D_IN)


def sparsify(folder):
    wide, b_enc, b_dec = weights()
    state = {"encoder.weight": wide, "encoder.bias": b_enc, "W_dec": wide.clone(), "b_dec": b_dec}
    save_file(state, folder / "sae.safetensors")
    (folder / "cfg.json").write_text(json.dumps({"k": 32}))
    return folder / "sae.safetensors"


def saelens(folder):
    """With a factor beside the weights, which is multiplied into them."""
    wide, b_enc, b_dec = weights()
    state = {"W_enc": wide.T.contiguous(), "b_enc": b_enc, "W_dec": wide, "b_dec": b_dec}
    save_file(state, folder / "sae_weights.safetensors")
    (folder / "cfg.json").write_text('{"normalize_activations": "expected_average_only_in"}')
    (folder / "activation_scaler.json").write_text('{"scaling_factor": 0.5}')
    return folder / "sae_weights.safetensors"


def llama_scope(folder):
    wide, b_enc, b_dec = weights()
    state = {
        "encoder.weight": wide,
        "encoder.bias": b_enc,
        "decoder.weight": wide.T.contiguous(),
        "decoder.bias": b_dec,
    }
    (folder / "checkpoints").mkdir()
    save_file(state, folder / "checkpoints/final.safetensors")
    (folder / "hyperparams.json").write_text(json.dumps(LLAMA_SCOPE | {"d_model": D_IN}))
    return folder / "checkpoints/final.safetensors"


def dictionary_learning(folder):
    wide, b_enc, b_dec = weights()
    state = {"encoder.weight": wide, "encoder.bias": b_enc, "decoder.weight": wide.T.contiguous(), "bias": b_dec}
    torch.save(state, folder / "ae.pt")
    (folder / "config.json").write_text('{"trainer": {"dict_class": "AutoEncoder"}}')
    return folder / "ae.pt"


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads the peak of memory as Linux tells it")
@pytest.mark.parametrize("write", [sparsify, saelens, llama_scope, dictionary_learning])
def test_the_peak_of_memory_is_that_of_the_file(tmp_path, write):
    (tmp_path / "sae").mkdir()
    file = write(tmp_path / "sae")
    (tmp_path / "peak.py").write_text(PEAK)
    peak = float(run(tmp_path / "peak.py", tmp_path / "sae", file.stat().st_size, cwd=tmp_path).stdout)
    assert peak < 1.2, f"{peak:.2f} times the file"
