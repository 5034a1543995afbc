import numpy as np
import pytest

from analogue.features import FeatureActivations
from analogue.features.spans import aggregate_spans

RULES = {"max": lambda rows: rows.max(axis=0), "mean": lambda rows: rows.mean(axis=0), "last": lambda rows: rows[-1]}


def random_activations(n_tokens=60, d_sae=15, seed=0):
    rng = np.random.default_rng(seed)
    dense = rng.exponential(size=(n_tokens, d_sae)) * (rng.random((n_tokens, d_sae)) < 0.3)
    return FeatureActivations.from_dense(dense.astype(np.float32)), dense.astype(np.float32)


@pytest.mark.parametrize("how", RULES)
@pytest.mark.parametrize("seed", range(4))
def test_each_rule_is_what_it_says(how, seed):
    acts, dense = random_activations(seed=seed)
    rng = np.random.default_rng(seed + 100)
    span = np.cumsum(rng.integers(0, 3, size=acts.n_tokens))  # some spans hold several tokens, some none
    span[rng.random(acts.n_tokens) < 0.1] = -1
    n_spans = int(span.max()) + 3
    expected = np.zeros((n_spans, acts.d_sae), dtype=np.float32)
    for row in set(span.tolist()) - {-1}:
        expected[row] = RULES[how](dense[span == row])
    np.testing.assert_allclose(aggregate_spans(acts, span, n_spans, how).to_scipy().toarray(), expected, rtol=1e-6)


@pytest.mark.parametrize("how", RULES)
def test_a_span_for_each_token_gives_back_the_activations_exactly(how):
    acts, _ = random_activations()
    again = aggregate_spans(acts, np.arange(acts.n_tokens), acts.n_tokens, how)
    for name in ("indptr", "indices", "values"):
        assert np.array_equal(getattr(again, name), getattr(acts, name))


@pytest.mark.parametrize("how", RULES)
@pytest.mark.parametrize("span", [[], [-1, -1]])
def test_nothing_in_no_span(how, span):
    acts = FeatureActivations.from_dense(np.ones((len(span), 3), dtype=np.float32))
    assert aggregate_spans(acts, np.array(span, dtype=np.int64), 2, how).nnz == 0


def test_bad_input_is_told():
    acts, _ = random_activations()
    with pytest.raises(ValueError, match="expected a span for each of 60 tokens, got 3"):
        aggregate_spans(acts, np.arange(3), 3)
    with pytest.raises(ValueError, match="how=sum: is not an option"):
        aggregate_spans(acts, np.arange(60), 60, "sum")
