"""What a similarity must do whatever its formula."""

import numpy as np
import pytest
import torch
from scipy.stats import rankdata

from analogue.similarity import METRICS, metric, rsa
from analogue.similarity.backend import centred_ranks
from tests.similarity.planted import awkward_pair, planted_pair, random_pair, rotation

PWCCA = {"pwcca", "pwcca_canonical"}
ROTATION_INVARIANT = sorted(METRICS.keys() - PWCCA - {"rsa_correlation"})
TRANSLATION_INVARIANT = sorted(METRICS.keys() - {"pwcca", "rsa_correlation", "rsa_cosine"})
SIGNED = {"rsa", "rsa_correlation", "rsa_cosine", "cka_debiased", "svcca_cross_validated"}


@pytest.fixture(params=[1, 2, 3])
def pair(request):
    return random_pair(request.param, minimum=30)


def separated(pair):
    """Wide enough that canonical correlations are no ties at 1."""
    return tuple(side[:, :6] for side in pair)


@pytest.mark.parametrize("name", ROTATION_INVARIANT)
def test_rotation(name, pair):
    x, y = pair
    turned = METRICS[name](x @ rotation(x.shape[1]), y @ rotation(y.shape[1], 1))
    assert turned == pytest.approx(METRICS[name](x, y), abs=1e-9)


@pytest.mark.parametrize("name", TRANSLATION_INVARIANT)
def test_translation(name, pair):
    x, y = separated(pair)
    moved = METRICS[name](x + 100.0 * np.arange(6), y - 3.0)
    assert moved == pytest.approx(METRICS[name](x, y), abs=1e-9)


@pytest.mark.parametrize("name", METRICS)
def test_isotropic_scaling(name, pair):
    x, y = separated(pair)
    assert METRICS[name](1e4 * x, 1e-5 * y) == pytest.approx(METRICS[name](x, y), abs=1e-9)


@pytest.mark.parametrize("name", sorted(METRICS.keys() - {"pwcca_canonical"}))
def test_symmetry(name, pair):
    x, y = pair
    x, y = (x[:, :4], y[:, :6]) if name == "pwcca" else (x, y)
    assert METRICS[name](y, x) == pytest.approx(METRICS[name](x, y), abs=1e-9)


@pytest.mark.parametrize("name", sorted(METRICS.keys() - {"rsa_correlation", "rsa_cosine"}))
def test_one_for_a_rotated_copy(name, pair):
    x, _ = separated(pair)
    assert METRICS[name](x, 0.5 * x @ rotation(6) + 3.0) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("name", ["rsa_correlation", "rsa_cosine"])
def test_one_for_a_scaled_copy(name, pair):
    assert METRICS[name](pair[0], 0.5 * pair[0]) == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("seed", range(6))
def test_range(name, seed):
    for x, y in (random_pair(seed), awkward_pair(seed + 1)):
        assert (-1.0 if name in SIGNED else 0.0) <= METRICS[name](x, y) <= 1.0


@pytest.mark.parametrize("name", sorted(METRICS.keys() - {"svcca_cross_validated"}))  # its split goes by position
def test_row_order_does_not_matter(name):
    x, y = (side[:, :5] for side in awkward_pair(4))
    order = np.random.default_rng(0).permutation(len(x))
    assert METRICS[name](x[order], y[order]) == pytest.approx(METRICS[name](x, y), abs=1e-9)


@pytest.mark.parametrize("name", sorted(METRICS.keys() - {"rsa_cosine"}))
@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6])
def test_a_side_that_does_not_vary_has_no_score(name, constant):
    """Equal rows; of the metrics that use angles, see below."""
    x, _ = random_pair(1)
    for slope in (0.0,) if name == "rsa_correlation" else (0.0, 1 / 3):
        flat = np.full((len(x), 5), constant) + slope * np.arange(5)
        assert np.isnan(METRICS[name](x, flat)), name
        assert np.isnan(METRICS[name](flat, x)), name


@pytest.mark.parametrize("name", ["rsa_correlation", "rsa_cosine"])
def test_angles_of_equal_rows_have_no_score(name):
    x, _ = random_pair(1)
    assert np.isnan(METRICS[name](x, np.tile([0.1, 0.7, 0.3], (len(x), 1))))
    assert np.isnan(METRICS[name](x, np.zeros((len(x), 3))))


@pytest.mark.parametrize("name", sorted(METRICS.keys() - PWCCA - {"rsa_correlation", "rsa_cosine"}))
def test_a_numerically_low_rank_is_a_low_rank(name):
    """For metrics that do not depend on the basis of the columns."""
    x, y = (side[:, :5] for side in random_pair(2, minimum=40))
    wide = x @ rotation(12)[:5] + 2.0
    assert METRICS[name](wide, y) == pytest.approx(METRICS[name](x, y), abs=1e-8)


@pytest.mark.parametrize("name", METRICS)
def test_torch_tensors(name):
    x, y = random_pair(5)
    tensors = torch.tensor(x, requires_grad=True), torch.from_numpy(y)
    assert METRICS[name](*tensors) == METRICS[name](x, y)


def test_half_precision_is_computed_in_double():
    x, y = (torch.from_numpy(side).bfloat16() for side in random_pair(5))
    assert metric("svcca")(x, y) == metric("svcca")(x.double(), y.double())


def test_unrelated_spaces_score_about_zero_where_bias_is_removed():
    for name in ("cka_debiased", "svcca_cross_validated"):
        r = np.random.default_rng(0)
        scores = [METRICS[name](*r.standard_normal((2, 40, 30))) for _ in range(60)]
        assert abs(np.mean(scores)) < 4 * np.std(scores) / np.sqrt(60), name


def test_related_spaces_score_on_pairs_held_out():
    assert metric("svcca_cross_validated")(*planted_pair()) > 0.4


@pytest.mark.parametrize("outer", ["spearman", "kendall"])
def test_distances_that_are_equal_but_for_rounding_tie(outer):
    """Two lengths of orthogonal rows, and rows that are collinear in groups, have a handful of different distances."""
    r = np.random.default_rng(0)
    turn, _ = np.linalg.qr(r.standard_normal((80, 80)))
    x = np.eye(60, 80) * np.where(np.arange(60) < 57, 1.0, 3.0)[:, None]
    patterns = np.repeat(r.standard_normal((4, 40)), 15, axis=0)
    a, b = (patterns * r.uniform(0.5, 2.0, (60, 1)) for _ in range(2))
    assert rsa(x, x @ turn, outer=outer) == pytest.approx(1.0, abs=1e-9)
    assert rsa(7.0 * x, x @ turn, outer=outer) == pytest.approx(1.0, abs=1e-9)
    for inner in ("cosine", "correlation"):
        assert rsa(a, b, inner=inner, outer=outer) == pytest.approx(1.0, abs=1e-9)
        assert rsa(torch.as_tensor(a), torch.as_tensor(b), inner=inner, outer=outer) == pytest.approx(1.0, abs=1e-9)


def test_ranks_of_values_and_of_tensors_tie_alike():
    values = np.array([0.3, 0.1, 0.3 + 4e-13, 0.2, 0.3 + 2e-12, 0.1])
    expected = rankdata([3, 1, 3, 2, 4, 1])
    for of in (np.asarray, torch.as_tensor):
        np.testing.assert_array_equal((np.asarray(centred_ranks(of(values), 1e-12)) + 7) / 2, expected)
        np.testing.assert_array_equal((np.asarray(centred_ranks(of(values))) + 7) / 2, rankdata(values))
