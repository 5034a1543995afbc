"""What means nothing changes no score: the order of features, the norms of decoder rows, the basis of the stream."""

import json

import numpy as np
import pytest
import torch
from sae_lens import SAE
from scipy.stats import special_ortho_group

import analogue
from analogue.comparison import OpenSide, score_pairs
from analogue.concepts import FeatureSpace
from analogue.embedded import ASSETS
from analogue.features import FeatureActivations, top_tokens
from analogue.matching import max_correlation, minimum_firing_count, one_to_one
from analogue.settings import METRICS, Side

N_TOKENS = 1500
SIDE = Side("embedded:stories-6", 3, "embedded:stories-6-saes/layer_3")


def sae(model: str, layer: int) -> SAE:
    loaded = SAE.load_from_disk(ASSETS / f"{model}-saes" / f"layer_{layer}")
    loaded.W_dec.requires_grad_(False)
    return loaded


def streams(seed: int = 0) -> list[torch.Tensor]:
    """Two residual streams with a common part, a mean that is not 0, and tokens that dwarf the rest."""
    r = np.random.default_rng(seed)
    common = r.standard_normal((N_TOKENS, 40)) * r.gamma(1.0, 1.0, 40)
    made = []
    for width in (96, 128):
        stream = common @ r.standard_normal((40, width)) / 6 + 0.3 * r.standard_normal((N_TOKENS, width)) + 0.2
        stream[::97] *= 12
        made.append(torch.tensor(stream, dtype=torch.float32))
    return made


def space(model: SAE, stream: torch.Tensor, decoder_rows: str) -> FeatureSpace:
    with torch.no_grad():
        acts = FeatureActivations.from_dense(model.encode(stream))
    side = OpenSide("a", SIDE, None, model, "", [])
    top = top_tokens(acts, np.zeros(N_TOKENS, dtype=np.int64), ["."], 1)
    return FeatureSpace(acts, top, side.decoder_rows(decoder_rows))


def scores(a: tuple[SAE, torch.Tensor], b: tuple[SAE, torch.Tensor], rows: str = "unit") -> tuple[dict, set]:
    space_a, space_b = space(*a, rows), space(*b, rows)
    # Features that fire once, on one token, correlate equally with everything: the order decides among them.
    pairs = one_to_one(minimum_firing_count(max_correlation(space_a.acts, space_b.acts), 3))
    found = score_pairs(pairs, space_a, space_b, METRICS, analogue.Null(n=1))
    kept = pairs.kept_pairs()
    return {each.metric: each.score for each in found.similarity}, {*zip(kept.feature_a, kept.feature_b, strict=True)}


def rescaled(model: SAE) -> SAE:
    scale = torch.exp(torch.randn(model.cfg.d_sae, generator=torch.Generator().manual_seed(3)))
    model.W_dec.data *= scale[:, None]
    model.W_enc.data /= scale
    model.b_enc.data /= scale
    return model


def permuted(model: SAE, order: torch.Tensor) -> SAE:
    model.W_dec.data = model.W_dec.data[order]
    model.W_enc.data = model.W_enc.data[:, order]
    model.b_enc.data = model.b_enc.data[order]
    return model


def turned(model: SAE, stream: torch.Tensor, seed: int) -> tuple[SAE, torch.Tensor]:
    rotation = torch.tensor(special_ortho_group.rvs(stream.shape[1], random_state=seed), dtype=torch.float64)
    for name, turn in (("W_dec", lambda w: w @ rotation), ("b_dec", lambda w: w @ rotation)):
        parameter = getattr(model, name)
        parameter.data = turn(parameter.data.double()).float()
    model.W_enc.data = (rotation.T @ model.W_enc.data.double()).float()
    return model, (stream.double() @ rotation).float()


@pytest.fixture(scope="module")
def plain():
    a, b = streams()
    return scores((sae("stories-6", 3), a), (sae("stories-12", 6), b))


@pytest.mark.parametrize("side", ["a", "b"])
def test_rescaled_rows_change_no_default_score(plain, side):
    a, b = streams()
    saes = [sae("stories-6", 3), sae("stories-12", 6)]
    rescaled(saes["ab".index(side)])
    found, pairs = scores((saes[0], a), (saes[1], b))
    assert len(pairs) > 100
    assert pairs == plain[1]
    assert found == pytest.approx(plain[0], abs=2e-6)
    raw, _ = scores((saes[0], a), (saes[1], b), "raw")
    assert abs(raw["rsa"] - found["rsa"]) > 0.003  # what `unit` is there for


@pytest.mark.parametrize("side", ["a", "b"])
def test_the_order_of_features_changes_no_default_score(plain, side):
    a, b = streams()
    saes = [sae("stories-6", 3), sae("stories-12", 6)]
    place = "ab".index(side)
    order = torch.randperm(saes[place].cfg.d_sae, generator=torch.Generator().manual_seed(1))
    permuted(saes[place], order)
    found, pairs = scores((saes[0], a), (saes[1], b))
    named = {(int(order[i]), int(j)) if place == 0 else (int(i), int(order[j])) for i, j in pairs}
    assert named == {(int(i), int(j)) for i, j in plain[1]}
    assert found == pytest.approx(plain[0], abs=1e-6)


def test_the_basis_of_either_stream_changes_no_default_score(plain):
    a, b = streams()
    found, pairs = scores(turned(sae("stories-6", 3), a, 0), turned(sae("stories-12", 6), b, 1))
    assert pairs == plain[1]
    assert found == pytest.approx(plain[0], abs=1e-5)


def test_the_record_says_which_rows_and_how_long_they_were(compare, tmp_path):
    record = compare()
    assert (record.decoder_rows, record.config["decoder_rows"]) == ("unit", "unit")
    assert record.side_a.decoder_norms == pytest.approx({"lowest": 1, "median": 1, "highest": 1}, abs=1e-3)
    rescaled(sae("stories-6", 3)).save_model(tmp_path / "scaled")
    scaled = f"sae_a.path={tmp_path}/scaled"
    other, raw = compare(scaled), compare(scaled, "decoder_rows=raw")
    assert other.similarity[2]["score"] == pytest.approx(record.similarity[2]["score"], abs=1e-6)
    assert other.side_a.decoder_norms["highest"] > 5 * other.side_a.decoder_norms["lowest"]
    assert not any("norms" in warning for warning in other.warnings)
    assert any("decoder rows of SAE a have norms from 0.0" in warning for warning in raw.warnings)
    assert abs(raw.similarity[2]["score"] - record.similarity[2]["score"]) > 0.01
    assert json.loads((tmp_path / "run" / "result.json").read_text())["decoder_rows"] == "raw"


def test_published_protocol_takes_rows_as_they_are(compose_config):
    assert compose_config("compare", "protocol=published", "output_dir=out").decoder_rows.value == "raw"
