"""Records as a comparison writes them, made up where the numbers do not matter."""

import numpy as np
import pyarrow as pa

from analogue.results import ComparisonResult, CorpusRecord, SideRecord

TOKENS = [" king", " queen", "<b>&amp;</b>", "\n", " in", "ß", " dragon", " 'quoted'"]


def sample_result(layer_a=1, layer_b=2, p_value=0.01, score=0.5, created="2026-01-01T00:00:00+00:00", **settings):
    """A record of the given layers; `settings` are further entries of its configuration."""
    entries = [
        _entry("svcca", score, 0.3, p_value),
        _entry("rsa", None if score is None else score / 2, 0.001, p_value),
    ]
    return ComparisonResult(
        created=created,
        side_a=_side("embedded:stories-6", layer_a),
        side_b=_side("some/where/stories-12/", layer_b),
        corpus=CorpusRecord("stories.jsonl", 10, 300, 2990, "ab" * 32),
        rule="max_correlation",
        direction="a_to_b",
        funnel=[{"filter": "paired", "n_pairs": 40}, {"filter": "shared_token", "n_pairs": 20}],
        correlation={"mean": 0.4, "mean_kept": 0.6},
        similarity=entries,
        n_model_passes=1,
        timings={"total": 1.5},
        versions={"python": "3.11"},
        config={"layer_a": layer_a, "layer_b": layer_b, "null": {"n": 19}, "output_dir": f"{layer_a}-{layer_b}"}
        | settings,
    )


def sample_pairs(n=40, n_kept=20, seed=0):
    """A pairs table whose kept pairs have the highest correlations."""
    rng = np.random.default_rng(seed)
    tokens = [[TOKENS[i] for i in rng.integers(len(TOKENS), size=5)] for _ in range(n)]
    return pa.table(
        {
            "feature_a": np.arange(n),
            "feature_b": rng.permutation(n),
            "correlation": np.linspace(0.95, 0.05, n),
            "n_active_a": rng.integers(1, 100, n),
            "n_active_b": rng.integers(1, 100, n),
            "top_tokens_a": tokens,
            "top_tokens_b": tokens[::-1],
            "kept": np.arange(n) < n_kept,
            "context_a": ["once upon a «time» there" if i < n_kept else None for i in range(n)],
            "context_b": ["a <b>«dog»</b>" if i < n_kept else None for i in range(n)],
            "dropped_by": ["" if i < n_kept else "shared_token" for i in range(n)],
        }
    )


def sample_nulls(seed=0):
    rng = np.random.default_rng(seed)
    return pa.table({"svcca": 0.3 + 0.02 * rng.standard_normal(19), "rsa": 0.01 * rng.standard_normal(19)})


def _side(model, layer):
    return SideRecord(
        model=model,
        revision=None,
        model_fingerprint="f" * 64,
        layer=layer,
        hook_point="resid_post",
        sae=f"{model}-saes/layer_{layer}",
        sae_architecture="topk",
        d_model=96,
        d_sae=768,
        n_live_features=700,
        l0=16.0,
        explained_variance=0.9,
        activation_key="0" * 32,
        from_cache=False,
        sae_fingerprint=f"{layer:064x}",
    )


def _entry(metric, score, null_mean, p_value):
    known = score is not None
    return {
        "metric": metric,
        "score": score,
        "n_pairs": 20 if known else 2,
        "n_null": 19 if known else 0,
        "seed": 0,
        "null": "shuffle",
        "null_mean": null_mean if known else None,
        "null_sd": 0.02 if known else None,
        "null_interval": [null_mean - 0.04, null_mean + 0.04] if known else None,
        "z": (score - null_mean) / 0.02 if known else None,
        "p_value": p_value if known else None,
        "p_value_published": p_value if known else None,
        "warnings": [],
        "reason": None if known else "2 pairs are left, 3 are needed",
    }


def sample_transfer(share=0.7, parts="all"):
    """`transfer` of a record, every number of it another one."""
    ways, visits = ("a_to_b", "b_to_a"), ("a_on_b", "b_on_a")
    found = {"parts": parts, "fit": {"path": "corpus", "n_sequences": 80, "n_tokens": 23809, "penalty": {}}}
    if parts != "interventions":
        found["maps"] = {
            way: {"explained_variance": share + i / 100, "shuffled": -0.001, "round_trip": 0.86}
            for i, way in enumerate(ways)
        }
        found["rotations"] = {way: {"explained_variance": 0.598, "round_trip": 0.843} for way in ways}
        dictionary = {"raw": None, "mapped": 0.693, "own": 0.906, "ceiling": 0.83}
        loss = {"raw": None, "mapped": 0.918, "own": 0.986, "ceiling": 0.966}
        found["dictionaries"] = {
            "a_on_b": dictionary | {"cross_entropy_recovered": loss},
            "b_on_a": dictionary | {"cross_entropy_recovered": None},
        }
        found["features_abroad"] = {visit: {"alive": 0.987, "correlation": 0.6} for visit in visits}
        found["features"] = {"n_pairs": 227, "cosine": 0.46, "cosine_shuffled": 0.006, "auc": 0.983, "top_1": 0.401}
        found["hard_negatives"] = {"features": {"n_pairs": 190, "cosine": 0.177, "auc": 0.881}}
    if parts != "maps":
        scores = {"correlation": 0.269, "top_1": 0.475, "top_5": 0.7, "mean_reciprocal_rank": 0.587}
        scores |= {"chance": 0.025, "p_value": 0.001}
        kinds = ("steering", "ablation")
        found["interventions"] = {"n_pairs": 3} | {kind: {"partner": scores, "mapped": scores} for kind in kinds}
        found["controls"] = {kind: {"random": scores | {"correlation": None}} for kind in kinds}
        hard = {"n_pairs": 2, "correlation": 0.104, "partner": 0.28, "beaten": 0.857}
        found["hard_negatives"] = found.get("hard_negatives", {}) | dict.fromkeys(kinds, hard)
        point = {"correlation": 0.26, "top_1": 0.47}
        arms = dict.fromkeys(("partner", "mapped", "random"), point)
        found["doses"] = [{"dose": dose, "size_a": 0.2 * dose, "size_b": 0.18 * dose} | arms for dose in (0.5, 2.0)]
    return found


def sample_transfer_table(n=20):
    """A row per kept pair; the effects of three of them were measured."""
    effects = [0.3, None, -0.2, 0.5, *[None] * (n - 4)]
    columns = {name: pa.array(effects, pa.float64()) for name in ("steering_partner", "steering_mapped")}
    return pa.table(
        {"feature_a": np.arange(n), "feature_b": np.arange(n)[::-1], "correlation": np.linspace(0.9, 0.2, n)} | columns
    )
