import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from analogue.embedded import ASSETS
from analogue.errors import InvalidArgument, NotFound, Unavailable
from analogue.saes import load, sae_fingerprint

D_IN, D_SAE, K = 6, 20, 4


@pytest.fixture
def resid():
    return torch.randn(50, D_IN, generator=torch.Generator().manual_seed(1)) * 3 + 1


def weights(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {
        "encoder.weight": torch.randn(D_SAE, D_IN, generator=generator),
        "encoder.bias": torch.randn(D_SAE, generator=generator),
        "W_dec": torch.randn(D_SAE, D_IN, generator=generator),
        "b_dec": torch.randn(D_IN, generator=generator),
    }


def write_sparsify(directory, state, **changes):
    directory.mkdir(parents=True, exist_ok=True)
    config = {"activation": "topk", "k": K, "d_in": D_IN, "num_latents": D_SAE, "normalize_decoder": True} | changes
    (directory / "cfg.json").write_text(json.dumps(config))
    save_file(state, directory / "sae.safetensors")


def topk_by_definition(state, resid):
    """sparsify's encoder: ReLU((x - b_dec) W_enc^T + b_enc), then all but the k highest set to zero."""
    pre = ((resid - state["b_dec"]) @ state["encoder.weight"].T + state["encoder.bias"]).relu()
    lowest_kept = pre.sort(dim=1, descending=True).values[:, K - 1 : K]
    return torch.where(pre >= lowest_kept, pre, 0.0)


def test_sparsify_directories_encode_as_sparsify_does(tmp_path, resid):
    state = weights()
    write_sparsify(tmp_path / "layers.3", state)
    sae = load(path=str(tmp_path / "layers.{layer}"), layer=3)
    torch.testing.assert_close(sae.encode(resid), topk_by_definition(state, resid), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(sae.W_dec, state["W_dec"])
    expected = topk_by_definition(state, resid) @ state["W_dec"] + state["b_dec"]
    torch.testing.assert_close(sae.decode(sae.encode(resid)), expected, atol=1e-4, rtol=1e-5)


def test_saelens_directories_come_back_as_they_were_saved(tmp_path, resid):
    from sae_lens import StandardSAE, StandardSAEConfig

    torch.manual_seed(0)
    saved = StandardSAE(StandardSAEConfig(d_in=D_IN, d_sae=D_SAE))
    saved.save_model(tmp_path)
    sae = load(path=str(tmp_path))
    torch.testing.assert_close(sae.encode(resid), saved.encode(resid))
    assert sae.W_dec.shape == (D_SAE, D_IN)


def test_embedded_saes_open_with_saelens_itself():
    from sae_lens import SAE

    from analogue.embedded import ASSETS

    sae = SAE.load_from_disk(ASSETS / "stories-6-saes" / "layer_3")
    assert sae.W_dec.shape == (768, 96)
    torch.testing.assert_close(sae.W_dec, load(path="embedded:stories-6-saes/layer_{layer}", layer=3).W_dec)


def test_a_missing_directory_names_the_argument(tmp_path):
    with pytest.raises(NotFound, match=r"^path=.*layer_7: is not a directory"):
        load(path=str(tmp_path / "layer_{layer}"), layer=7)


def test_a_layer_without_an_sae_names_those_that_have_one():
    saes = ASSETS / "stories-6-saes"
    with pytest.raises(NotFound, match=r"layer_9: is not a directory; .*stories-6-saes holds layer_0, layer_1, "):
        load(path=str(saes / "layer_{layer}"), layer=9)


def test_a_directory_without_an_sae_says_what_is_there_and_what_is_read(tmp_path):
    (tmp_path / "layers.3").mkdir()
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(
        NotFound, match=r"holds layers.3/, notes.txt, and no SAE: .*sae_weights.safetensors \(SAELens\)"
    ):
        load(path=str(tmp_path))
    with pytest.raises(NotFound, match="is a file of no format that is read"):
        load(path=str(tmp_path / "notes.txt"))


def test_a_directory_of_directories_with_saes_names_them(tmp_path):
    for n in (10, 9):
        write_sparsify(tmp_path / f"few/seed_{n}/d_sae_768", weights())
    for n in range(6):
        write_sparsify(tmp_path / f"many/layers.{n}", weights())
    for name, told in (
        ("few", "few: holds SAEs in its folders: seed_9/d_sae_768, seed_10/d_sae_768; give one of them"),
        ("many", "many: holds SAEs in its folders: layers.0, layers.1, layers.2, layers.3, ...; give one of them"),
    ):
        with pytest.raises(NotFound) as error:
            load(path=str(tmp_path / name))
        assert str(error.value).endswith(told)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    state = weights()
    state["W_dec"][3, 2] = float("nan")
    write_sparsify(tmp_path, state)
    with pytest.raises(InvalidArgument, match="not finite"):
        load(path=str(tmp_path))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"activation": "groupmax"}, "has the activation 'groupmax'; of sparsify's formats, TopK can be read"),
        ({"signed": True}, "keeps signed activations"),
        ({"transcode": True}, "is a transcoder"),
    ],
)
def test_formats_that_would_be_read_wrongly_are_refused(tmp_path, changes, told):
    write_sparsify(tmp_path, weights(), **changes)
    with pytest.raises(InvalidArgument, match=told):
        load(path=str(tmp_path))


@pytest.mark.parametrize("name", ["sae.safetensors", "sae_weights.safetensors", "params.npz"])
def test_a_damaged_file_is_one_sentence(tmp_path, name):
    write_sparsify(tmp_path, weights())
    (tmp_path / name).write_bytes(b"PK nothing of use")
    with pytest.raises(Unavailable, match="cannot be loaded as an SAE"):
        load(path=str(tmp_path))


@pytest.mark.parametrize(("k", "told"), [(None, "k=None"), ("4", "k='4'"), (0, "k=0"), (D_SAE + 1, "21 highest of 20")])
def test_a_number_of_active_features_that_cannot_be_is_refused(tmp_path, k, told):
    write_sparsify(tmp_path, weights(), k=k)
    with pytest.raises((InvalidArgument, Unavailable), match=told):
        load(path=str(tmp_path))


def test_weights_that_are_missing_are_named(tmp_path):
    write_sparsify(tmp_path, {name: each for name, each in weights().items() if name != "b_dec"})
    with pytest.raises(Unavailable, match="'b_dec' is missing"):
        load(path=str(tmp_path))


@pytest.mark.parametrize(
    ("sae_class", "config_class", "settings", "told"),
    [
        ("AbsTopKSAE", "AbsTopKSAEConfig", {"k": K}, "keeps negative activations"),
        ("Transcoder", "TranscoderConfig", {"d_out": D_IN, "apply_b_dec_to_input": False}, "transcoder"),
        ("TemporalSAE", "TemporalSAEConfig", {"n_heads": 2, "bottleneck_factor": 1}, "whole seq"),
    ],
)
def test_what_reads_no_single_token_of_a_residual_stream_is_refused(tmp_path, sae_class, config_class, settings, told):
    import sae_lens

    config = getattr(sae_lens, config_class)(d_in=D_IN, d_sae=D_SAE, **settings)
    getattr(sae_lens, sae_class)(config).save_model(tmp_path)
    with pytest.raises(InvalidArgument, match=told):
        load(path=str(tmp_path))


def test_gemma_scope_directories_encode_by_jumprelu(tmp_path, resid):
    state = weights()
    threshold = np.linspace(0.0, 3.0, D_SAE, dtype=np.float32)
    arrays = {"W_enc": state["encoder.weight"].T, "b_enc": state["encoder.bias"]}
    arrays |= {"W_dec": state["W_dec"], "b_dec": state["b_dec"]}
    np.savez(tmp_path / "params.npz", threshold=threshold, **{name: each.numpy() for name, each in arrays.items()})
    sae = load(path=str(tmp_path))
    pre = resid @ arrays["W_enc"] + arrays["b_enc"]
    torch.testing.assert_close(sae.encode(resid), pre.relu() * (pre > torch.from_numpy(threshold)))
    torch.testing.assert_close(sae.W_dec, state["W_dec"])
    torch.testing.assert_close(sae.decode(sae.encode(resid)), sae.encode(resid) @ state["W_dec"] + state["b_dec"])


def test_the_top_k_can_be_left_out_as_the_published_code_does(tmp_path, resid):
    state = weights()
    write_sparsify(tmp_path, state)
    pre = (resid - state["b_dec"]) @ state["encoder.weight"].T + state["encoder.bias"]
    torch.testing.assert_close(load(path=str(tmp_path), before_topk=True).encode(resid), pre.relu())


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_weights_have_the_precision_asked_for(tmp_path, dtype):
    write_sparsify(tmp_path, weights())
    assert load(path=str(tmp_path), dtype=dtype).W_dec.dtype == getattr(torch, dtype)


def sae_at_hand(**settings):
    from sae_lens import TopKSAE, TopKSAEConfig

    torch.manual_seed(0)
    sae = TopKSAE(TopKSAEConfig(d_in=D_IN, d_sae=D_SAE, k=K, **settings))
    for parameter in sae.parameters():
        parameter.data = torch.randn_like(parameter)
    return sae.train()


@pytest.mark.parametrize("before_topk", [False, True])
def test_an_sae_at_hand_is_copied_and_computes_what_its_saved_files_do(tmp_path, resid, before_topk):
    sae = sae_at_hand()
    sae.save_model(tmp_path)
    kept = {name: each.clone() for name, each in sae.state_dict().items()}
    activation = sae.activation_fn
    loaded = load(sae, before_topk=before_topk)
    torch.testing.assert_close(loaded.encode(resid), load(tmp_path, before_topk=before_topk).encode(resid))
    assert sae_fingerprint(loaded) == sae_fingerprint(load(tmp_path, before_topk=before_topk))
    loaded.double()
    loaded.W_dec.zero_()
    assert sae.training
    assert sae.activation_fn is activation
    assert all(each.requires_grad for each in sae.parameters())
    for name, each in sae.state_dict().items():
        torch.testing.assert_close(each, kept[name], rtol=0, atol=0)


def test_the_copy_has_the_precision_asked_for(resid):
    sae = sae_at_hand(dtype="bfloat16")
    loaded = load(sae)
    assert (loaded.W_dec.dtype, loaded.encode(resid).dtype, sae.W_dec.dtype) == (*[torch.float32] * 2, torch.bfloat16)
    assert sae.cfg.dtype == "bfloat16"


def test_an_object_that_is_no_sae_for_inference_is_refused():
    from sae_lens import BatchTopKTrainingSAE, BatchTopKTrainingSAEConfig

    with pytest.raises(InvalidArgument, match=r"^path=Linear: is not an SAE of SAELens"):
        load(torch.nn.Linear(3, 3))
    training = BatchTopKTrainingSAE(BatchTopKTrainingSAEConfig(d_in=D_IN, d_sae=D_SAE, k=K))
    with pytest.raises(InvalidArgument, match=r"^path=BatchTopKTrainingSAE: is an SAE in training"):
        load(training)
    broken = sae_at_hand()
    broken.W_dec.data[3, 2] = float("nan")
    with pytest.raises(InvalidArgument, match=r"^path=TopKSAE: has weights that are not finite"):
        load(broken)
