"""The residual streams themselves, through the whole comparison."""

import numpy as np
import pytest
import torch

import analogue
from analogue.comparison import residual
from analogue.models import open_model
from analogue.similarity import METRICS

A = analogue.Side("embedded:stories-6", 3, "embedded:stories-6-saes/layer_{layer}")
B = analogue.Side("embedded:stories-12", 6, "embedded:stories-12-saes/layer_{layer}")
SMALL = {"n_sequences": 12, "seq_len": 40, "null": analogue.Null(n=19), "device": "cpu", "progress": False}


def test_streams_are_scored_as_what_the_models_put_out():
    found = analogue.compare(A, B, metrics=["svcca", "rsa"], metrics_on=["decoder", "residual"], **SMALL)
    scores = found.scores.set_index(["metric", "on"])
    corpus = analogue.settings.STORIES
    texts = analogue.comparison.tokenise_corpus(
        analogue.Corpus(corpus.path, packing=True, n_sequences=12, seq_len=40),
        *(analogue.comparison.open_side(side, label) for side, label in ((A, "a"), (B, "b"))),
    )
    ids, mask = (torch.from_numpy(getattr(texts.sequences["a"], name)) for name in ("ids", "mask"))
    with torch.no_grad():
        x, y = (
            open_model(side.model).load()(ids, mask, [side.layer])[side.layer].reshape(480, -1).double().numpy()
            for side in (A, B)
        )
    for metric in ("svcca", "rsa"):
        row = scores.loc[metric, "residual"]
        assert row.score == pytest.approx(METRICS[metric](x, y), abs=1e-5)
        assert (row.n_pairs, row.n_null, row.p_value, row.null) == (480, 19, 0.05, "permuted_sequences")
    assert found.record.n_model_passes == 4
    assert "residual streams" in str(found)
    assert {"svcca_on_residual", "rsa_on_residual"} <= {*found.nulls_table.column_names}


def test_wide_streams_and_long_texts_are_sampled_before_the_model_reads(monkeypatch):
    monkeypatch.setattr(residual, "_TOKENS", 64)
    found = analogue.compare(A, B, metrics=["cka"], metrics_on=["residual"], **SMALL)
    [row] = found.record.similarity
    assert row["warnings"] == ["on 64 of 480 tokens, drawn at random"]
    assert row["n_pairs"] == 64
    assert np.isfinite(row["score"])


def test_streams_on_different_tokens_are_refused():

    corpus = analogue.comparison.TokenisedCorpus({}, aligned=object())
    with pytest.raises(analogue.InvalidArgument, match=r"^metrics_on=\['residual'\]: .* token by token"):
        residual.check_streams(["residual"], corpus)
    residual.check_streams(["decoder"], corpus)
