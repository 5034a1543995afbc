"""The whole comparison against the same steps written as a notebook would: dense arrays, one library call a line."""

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sae_lens import SAE
from transformers import AutoModel, AutoTokenizer

from analogue.embedded import ASSETS
from tests.similarity import oracles

N_SEQUENCES, SEQ_LEN = 12, 100
NON_CONCEPT = {"\n", "\\n", "", " ", ".", ",", "!", "?", "-", "<|endoftext|>"}


def token_ids():
    tokenizer = AutoTokenizer.from_pretrained(ASSETS / "stories-6")
    stream = []
    for text in pq.read_table(ASSETS / "stories" / "heldout.parquet")["text"].to_pylist():
        stream += [tokenizer.eos_token_id, *tokenizer(text)["input_ids"]]
    return tokenizer, torch.tensor(stream[: N_SEQUENCES * SEQ_LEN]).reshape(N_SEQUENCES, SEQ_LEN)


def dense_activations(model, layer, ids):
    language_model = AutoModel.from_pretrained(ASSETS / model, dtype=torch.float32)
    sae = SAE.load_from_disk(ASSETS / f"{model}-saes" / f"layer_{layer}")
    with torch.no_grad():
        resid = language_model(ids, output_hidden_states=True).hidden_states[layer + 1]
        return sae.encode(resid.flatten(0, 1)).double().numpy(), sae.W_dec.detach().double().numpy()


def top_strings(acts, strings, k=5):
    tops = []
    for column in acts.T:
        order = np.argsort(-column, kind="stable")[:k]
        tops.append({strings[i] for i in order if column[i] > 0})
    return tops


def plain_pairs(acts_a, acts_b, strings):
    """Feature pairs after the paper's filters, with their correlations."""
    with np.errstate(divide="ignore", invalid="ignore"):
        z_a, z_b = ((acts - acts.mean(0)) / acts.std(0) for acts in (acts_a, acts_b))
    correlation = np.nan_to_num(z_a, nan=0).T @ np.nan_to_num(z_b, nan=0) / len(acts_a)
    correlation[:, acts_b.std(0) == 0] = -np.inf
    correlation = correlation.round(7)  # features that fire on one token alone tie, up to rounding
    tops_a, tops_b = top_strings(acts_a, strings), top_strings(acts_b, strings)
    claims = [(correlation[a].max(), a, int(correlation[a].argmax())) for a in np.flatnonzero(acts_a.std(0) > 0)]
    claims = [(r, a, b) for r, a, b in claims if not (tops_a[a] & NON_CONCEPT or tops_b[b] & NON_CONCEPT)]
    claims = [(r, a, b) for r, a, b in claims if tops_a[a] & tops_b[b]]
    best = {}
    for r, a, b in sorted(claims, key=lambda claim: -claim[0]):
        best.setdefault(b, (r, a))
    return {(a, b): r for b, (r, a) in best.items() if r >= 0.1}


def test_pairs_and_scores_equal_those_of_the_plain_method(compare, tmp_path):
    result = compare()
    tokenizer, ids = token_ids()
    strings = [tokenizer.decode([token]) for token in ids.flatten().tolist()]
    acts_a, decoder_a = dense_activations("stories-6", 3, ids)
    acts_b, decoder_b = dense_activations("stories-12", 6, ids)
    expected = plain_pairs(acts_a, acts_b, strings)
    rows = [row for row in pq.read_table(tmp_path / "run" / "pairs.parquet").to_pylist() if row["kept"]]
    assert {(row["feature_a"], row["feature_b"]) for row in rows} == set(expected)
    for row in rows:
        assert row["correlation"] == pytest.approx(expected[row["feature_a"], row["feature_b"]], abs=1e-5)
    x, y = (
        decoder[[row[side] for row in rows]] for side, decoder in (("feature_a", decoder_a), ("feature_b", decoder_b))
    )
    scores = {entry["metric"]: entry["score"] for entry in result.similarity}
    assert scores["svcca"] == pytest.approx(oracles.svcca(x, y), abs=1e-6)
    assert scores["svcca_pc1"] == pytest.approx(oracles.svcca_pc1(x, y), abs=1e-6)
    assert scores["rsa"] == pytest.approx(oracles.rsa(x, y), abs=1e-6)
