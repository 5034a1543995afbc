"""Dictionaries in dictionary_learning's layout, against its classes' `encode`, written out; and against the package."""

import json

import pytest
import torch

from analogue.errors import InvalidArgument
from analogue.saes import load, sae_site
from tests.saes.weights import D_IN, D_SAE, check, jumprelu, random_resid, random_weights, topk

K = 6


def linear(w, **more):
    """The names of classes made of `nn.Linear`."""
    return {"encoder.weight": w.w_enc.T.contiguous(), "decoder.weight": w.w_dec.T.contiguous()} | more


def matrices(w, **more):
    return {"W_enc": w.w_enc, "b_enc": w.b_enc, "W_dec": w.w_dec, "b_dec": w.b_dec} | more


def fitted(w, k=K, threshold=0.5):
    return {"b_dec": w.b_dec, "k": torch.tensor(k, dtype=torch.int), "threshold": torch.tensor(threshold)}


def gated(w, resid):
    encoded = (resid - w.b_dec) @ w.w_enc
    return (encoded + w.b_enc > 0) * (w.threshold.exp() * encoded + 0.5 * w.b_enc).relu()


CLASSES = {
    "AutoEncoder": (
        lambda w: linear(w, **{"encoder.bias": w.b_enc, "bias": w.b_dec}),
        lambda w, resid: ((resid - w.b_dec) @ w.w_enc + w.b_enc).relu(),
    ),
    "AutoEncoderNew": (
        lambda w: linear(w, **{"encoder.bias": w.b_enc, "decoder.bias": w.b_dec}),
        lambda w, resid: (resid @ w.w_enc + w.b_enc).relu(),
    ),
    "GatedAutoEncoder": (
        lambda w: linear(w, decoder_bias=w.b_dec, r_mag=w.threshold, gate_bias=w.b_enc, mag_bias=0.5 * w.b_enc),
        gated,
    ),
    "AutoEncoderTopK": (
        lambda w: linear(w, **{"encoder.bias": w.b_enc}, **fitted(w)),
        lambda w, resid: topk((resid - w.b_dec) @ w.w_enc + w.b_enc, K),
    ),
    "BatchTopKSAE": (
        lambda w: linear(w, **{"encoder.bias": w.b_enc}, **fitted(w)),
        lambda w, resid: jumprelu((resid - w.b_dec) @ w.w_enc + w.b_enc, 0.5),
    ),
    "MatryoshkaBatchTopKSAE": (
        lambda w: matrices(w, **fitted(w), group_sizes=torch.tensor([10, D_SAE - 10])),
        lambda w, resid: jumprelu((resid - w.b_dec) @ w.w_enc + w.b_enc, 0.5),
    ),
    "JumpReluAutoEncoder": (
        lambda w: matrices(w, threshold=w.threshold),
        lambda w, resid: jumprelu(resid @ w.w_enc + w.b_enc, w.threshold),
    ),
}


def write(folder, kind, state, io="out", **trainer):
    folder.mkdir(parents=True)
    torch.save(state, folder / "ae.pt")
    about = {"dict_class": kind, "activation_dim": D_IN, "dict_size": D_SAE, "k": K, "layer": 8}
    about |= {"lm_name": "EleutherAI/pythia-160m-deduped", "submodule_name": "resid_post_layer_8"} | trainer
    (folder / "config.json").write_text(json.dumps({"trainer": about, "buffer": {"io": io, "ctx_len": 1024}}))
    return folder


@pytest.mark.parametrize("kind", CLASSES)
def test_every_class_encodes_as_its_own_code_does(tmp_path, kind):
    state, formula = CLASSES[kind]
    w = random_weights()
    sae = load(path=write(tmp_path / "trainer_3", kind, state(w)))
    acts = formula(w, random_resid())
    check(sae, acts, w.w_dec, acts @ w.w_dec + w.b_dec)
    assert sae_site(sae) == (8, "resid_post")
    assert sae.cfg.metadata.model_name == "EleutherAI/pythia-160m-deduped"


@pytest.mark.parametrize(
    ("folder", "trainer", "io", "site"),
    [
        ("a", {"submodule_name": "mlp_out_layer_8"}, "out", (8, "mlp_out")),
        ("b", {"submodule_name": "attention_out_layer_8"}, "out", (8, "attn_out")),
        ("c", {"submodule_name": "resid_post_layer_8"}, "in", (8, "resid_pre")),
        ("mlp_out_layer3/10_32768", {"layer": None, "submodule_name": None}, "out", (3, "mlp_out")),
        ("resid_out_layer4/trainer_0", {"layer": None, "submodule_name": None}, "out", (4, "resid_post")),
        ("trainer_0", {"layer": None, "submodule_name": None}, "out", None),
    ],
)
def test_the_site_stands_in_the_configuration_or_in_the_folders_name(tmp_path, folder, trainer, io, site):
    state = CLASSES["AutoEncoder"][0](random_weights())
    assert sae_site(load(path=write(tmp_path / folder, "AutoEncoder", state, io, **trainer))) == site


def test_what_has_no_features_of_single_tokens_is_refused(tmp_path):
    w = random_weights()
    with pytest.raises(InvalidArgument, match="is of class 'CrossCoder'; of dictionary_learning, AutoEncoder, "):
        load(path=write(tmp_path / "a", "CrossCoder", matrices(w)))
    unfitted = linear(w, **{"encoder.bias": w.b_enc}, **fitted(w, threshold=-1.0))
    with pytest.raises(InvalidArgument, match="was saved before the BatchTopKSAE's threshold was fitted"):
        load(path=write(tmp_path / "b", "BatchTopKSAE", unfitted))
    with pytest.raises(InvalidArgument, match="predicts a module's output from its input"):
        load(path=write(tmp_path / "c", "AutoEncoder", CLASSES["AutoEncoder"][0](w), io="in_and_out"))


@pytest.mark.parametrize("kind", ["AutoEncoder", "GatedAutoEncoder", "JumpReluAutoEncoder"])
def test_files_are_read_as_the_package_reads_them(tmp_path, kind):
    dictionaries = pytest.importorskip("dictionary_learning.dictionary", reason="pip install dictionary-learning")
    write(tmp_path / "trainer_0", kind, CLASSES[kind][0](random_weights()))
    own = {"normalize_decoder": False} if kind == "AutoEncoder" else {}
    theirs = getattr(dictionaries, kind).from_pretrained(tmp_path / "trainer_0/ae.pt", **own)
    assert_agreement(tmp_path / "trainer_0", theirs)


@pytest.mark.parametrize("kind", ["AutoEncoderTopK", "BatchTopKSAE", "MatryoshkaBatchTopKSAE"])
def test_files_of_topk_dictionaries_are_read_as_the_package_reads_them(tmp_path, kind):
    modules = {
        "AutoEncoderTopK": "top_k",
        "BatchTopKSAE": "batch_top_k",
        "MatryoshkaBatchTopKSAE": "matryoshka_batch_top_k",
    }
    name = f"dictionary_learning.trainers.{modules[kind]}"
    trainers = pytest.importorskip(name, reason="pip install dictionary-learning")
    write(tmp_path / "trainer_0", kind, CLASSES[kind][0](random_weights()))
    theirs = getattr(trainers, kind).from_pretrained(tmp_path / "trainer_0/ae.pt", k=K)
    assert_agreement(tmp_path / "trainer_0", theirs)


def assert_agreement(folder, theirs):
    ours, resid = load(path=folder), random_resid()
    with torch.no_grad():
        acts = theirs.encode(resid)
        torch.testing.assert_close(ours.encode(resid), acts, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(ours.decode(acts), theirs.decode(acts), atol=1e-5, rtol=1e-5)
