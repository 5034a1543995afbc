"""SAE folders that lie: each is refused in a sentence, or encodes what it encoded before; of every format."""

import json
import random
import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from analogue.errors import UserError
from analogue.saes import load, sae_site
from tests.results.test_fuzz import mutated, places
from tests.saes import test_checkpoints, test_dictionary_learning, test_gemma_scope, test_llama_scope, test_saelens
from tests.saes.test_loading import weights, write_sparsify
from tests.saes.weights import random_resid, random_weights

N_MUTATIONS = 600
SIX = test_saelens.SIX | {"normalize_activations": "expected_average_only_in", "apply_b_dec_to_input": True}
TOPK = {"architecture": "topk", "k": 5, "d_in": 12, "d_sae": 40, "metadata": {"hook_name": "blocks.3.hook_resid_post"}}


def sparsify(folder):
    write_sparsify(folder / "layers.3", weights())
    return folder / "layers.3"


def saelens(config, **more):
    def write(folder):
        test_saelens.write(folder, config, **more)
        (folder / "activation_scaler.json").write_text('{"scaling_factor": 0.5}')
        return folder

    return write


def llama_scope(folder):
    test_llama_scope.write(folder)
    return folder


def llama_scope_later(folder):
    test_llama_scope.write_later(folder / "x", random_weights(), test_llama_scope.CONFIG)
    return folder / "x"


def gemma_scope(folder):
    return test_gemma_scope.write_first(folder / "gemma-scope-2b-pt-res")[0]


def gemma_scope_2(folder):
    config = {"architecture": "jump_relu", "hf_hook_point_in": "model.layers.5.output", "model_name": "gemma-v3-1b-pt"}
    return test_gemma_scope.write_second(folder, "resid_post/layer_5_width_16k_l0_small", config)[0]


def dictionary_learning(kind):
    def write(folder):
        state, _ = test_dictionary_learning.CLASSES[kind]
        return test_dictionary_learning.write(folder / "trainer_0", kind, state(random_weights()))

    return write


def openai(folder):
    more = {"activation": "TopK", "activation_state_dict": {"k": 6, "postact_fn": "ReLU"}}
    state = test_checkpoints.openai(random_weights(), **more)
    return test_checkpoints.write(folder / "resid_post_mlp_v5_32k/autoencoders/8.pt", state)


def qwen_scope(folder):
    file = folder / "SAE-Res-Qwen3-1.7B-Base-W32K-L0_6" / "layer11.sae.pt"
    return test_checkpoints.write(file, test_checkpoints.qwen_scope(random_weights()))


FORMATS = {
    "sparsify": sparsify,
    "SAELens": saelens(SIX),
    "SAELens, TopK": saelens(TOPK),
    "SAELens, JumpReLU": saelens(SIX | {"architecture": "jumprelu"}, threshold=random_weights().threshold),
    "Llama Scope": llama_scope,
    "Llama Scope R1": llama_scope_later,
    "Gemma Scope": gemma_scope,
    "Gemma Scope 2": gemma_scope_2,
    "dictionary_learning, TopK": dictionary_learning("AutoEncoderTopK"),
    "dictionary_learning, BatchTopK": dictionary_learning("BatchTopKSAE"),
    "OpenAI": openai,
    "Qwen-Scope": qwen_scope,
}
TENSORS = {
    "of integers": lambda t: (10 * t).long(),
    "of truth values": lambda t: t > 0,
    "complex": lambda t: t.to(torch.complex64),
    "NaN": lambda t: torch.where(torch.arange(t.numel()).reshape(t.shape) == t.numel() // 2, torch.nan, t.float()),
    "cut": lambda t: t[..., : t.shape[-1] // 2].clone() if t.ndim else t[None],
    "turned": lambda t: t.T.contiguous() if t.ndim == 2 else t[None].contiguous(),
    "empty": lambda t: t.flatten()[:0].clone(),
    "a number": lambda t: t.flatten()[0].clone(),
    "doubled": lambda t: torch.stack([t, t]),
}


def read_state(file):
    if file.suffix == ".npz":
        with np.load(file) as arrays:
            return {name: torch.from_numpy(arrays[name]) for name in arrays}
    return load_file(file) if file.suffix == ".safetensors" else torch.load(file, weights_only=True)


def write_state(state, file):
    if file.suffix == ".npz":
        np.savez(file, **{name: each.numpy() for name, each in state.items()})
    elif file.suffix == ".safetensors":
        save_file(state, file)
    else:
        torch.save(state, file)


def damage(folder, rng):
    """Change one thing; returns what, and whether the numbers may be others: it says something else that can be."""
    files = sorted(file for file in (folder.rglob("*") if folder.is_dir() else [folder]) if file.is_file())
    file = rng.choice(files)
    if file.suffix == ".json":
        record = json.loads(file.read_text())
        text = mutated(record, rng)
        file.write_text(text, encoding="utf-8", errors="surrogatepass")
        what, may_change = difference(record, text)
        return f"{file.name}: {what}", may_change
    kind = rng.choice([*TENSORS, "missing", "another name", "more", "cut file", "no file"])
    if kind == "cut file":
        file.write_bytes(file.read_bytes()[: rng.randrange(file.stat().st_size)])
        return f"{file.name} is cut", False
    if kind == "no file":
        file.unlink()
        return f"{file.name} is gone", True
    state = read_state(file)
    name = rng.choice(sorted(name for name, each in state.items() if isinstance(each, torch.Tensor)))
    if kind == "more":
        state["more"] = torch.ones(3)
    elif kind == "another name":
        state["renamed"] = state.pop(name)
    elif kind == "missing":
        del state[name]
    else:
        state[name] = TENSORS[kind](state[name])
    write_state(state, file)
    return f"{file.name}: {name} is {kind}", name in ("k", "stats_last_nonzero", "threshold", "encoder.bias")


def difference(record, text):
    """What was changed, and whether it is another value of the same kind, or an absent one."""
    try:
        new = json.loads(text)
    except (ValueError, RecursionError):
        return text[:40], False
    before, after = ({path: at(each, path) for path in places(each) if path} for each in (record, new))
    changed = [path for path in after if before.get(path, "nothing") != after[path]]
    if not changed or changed[-1] not in before:
        return f"{changed} added, {[path for path in before if path not in after]} gone", True
    old, new = before[changed[-1]], after[changed[-1]]
    return f"{changed[-1]}={str(new)[:60]}", new is None or kind_of(old) == kind_of(new)


def kind_of(value):
    return "number" if type(value) in (int, float) else type(value)


def at(value, path):
    for key in path:
        value = value[key]
    return value


def encoded(path):
    """What an SAE makes of a stream, and where it says that it belongs."""
    sae = load(path=path)
    acts = sae.encode(random_resid(sae.cfg.d_in))
    assert acts.shape == (60, sae.cfg.d_sae)
    assert acts.isfinite().all()
    assert (acts >= 0).all()
    assert sae.decode(acts).shape == (60, sae.W_dec.shape[1])
    return acts, sae_site(sae)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_folder_that_lies_is_refused_or_is_what_it_was(tmp_path, kind):
    rng = random.Random(kind)
    good, _ = encoded(FORMATS[kind](tmp_path / "good"))
    refused = 0
    for number in range(N_MUTATIONS // len(FORMATS)):
        path = FORMATS[kind](tmp_path / str(number))
        what, may_change = damage(path, rng)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                acts, _ = encoded(path)
            except UserError as error:
                said = str(error)
                assert said.startswith(("path=", "layer=")), said
                assert "\n" not in said, said
                assert len(said) < 1500, said
                refused += 1
                continue
            except Exception as error:
                raise AssertionError(f"{number}: {what}: {type(error).__name__}: {error}") from error
        assert may_change or torch.equal(acts, good), f"{number}: {what} changes the activations without a word"
    assert refused >= 3
