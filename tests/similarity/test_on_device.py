"""Tensors on a device: scored there, as NumPy arrays are."""

from functools import partial

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist, squareform

from analogue.similarity import METRICS, Metric, backend, cka_rbf, inputs, mutual_knn, svcca
from analogue.similarity.rsa import INNER, OUTER, prepare_rsa
from tests.devices import DEVICES
from tests.similarity.on_device import keep_in_place, placed
from tests.similarity.planted import awkward_pair, planted_pair, random_pair

RSA = {f"rsa_{inner}_{outer}": partial(prepare_rsa, inner=inner, outer=outer) for inner in INNER for outer in OUTER}
EVERY = METRICS | {name: Metric(name, prepare) for name, prepare in RSA.items()}
PWCCA = {"pwcca", "pwcca_canonical"}
N_DRAWS = 3


@pytest.fixture(params=DEVICES)
def device(request, monkeypatch):
    keep_in_place(monkeypatch, request.param)
    return request.param


@pytest.fixture
def returned(monkeypatch):
    """The shapes of all that comes back from the device."""
    shapes = []

    def watch(name):
        original = getattr(torch.Tensor, name)

        def watched(tensor, *args, **kwargs):
            shapes.append(tuple(tensor.shape))
            return original(tensor, *args, **kwargs)

        monkeypatch.setattr(torch.Tensor, name, watched)

    for name in ("cpu", "numpy", "tolist", "to", "__array__"):
        watch(name)
    return shapes


def assert_as_arrays(metric, pair, device, atol=1e-10):
    x, y = placed(pair, device)
    found, expected = metric.prepare(x, y), metric.prepare(*pair)
    r = np.random.default_rng(0)
    for permutation in (np.arange(len(x)), *(r.permutation(len(x)) for _ in range(N_DRAWS))):
        score = found(permutation)
        assert type(score) is float, metric.name
        assert score == pytest.approx(expected(permutation), abs=atol, nan_ok=True), metric.name


@pytest.mark.parametrize("seed", range(6))
def test_scores_and_draws_are_those_of_arrays(device, seed):
    for name in EVERY.keys() - PWCCA:
        assert_as_arrays(EVERY[name], random_pair(seed), device)


@pytest.mark.parametrize("widths", [(4, 7), (7, 4), (5, 5)])
def test_pwcca_has_the_signs_of_arrays(device, widths):
    pair = tuple(side[:, :width] for side, width in zip(random_pair(3, minimum=30), widths, strict=True))
    for name in PWCCA:
        assert_as_arrays(METRICS[name], pair, device)


@pytest.mark.parametrize("seed", range(1, 5))
def test_ties_duplicates_and_constants(device, seed):
    x, y = awkward_pair(seed)
    whole = np.round(x), np.round(10 * y)  # so that distances tie exactly, by whatever route
    for name in EVERY.keys() - PWCCA:
        routes = "cosine" in name or "correlation" in name  # 1 - cosine by two routes breaks ties by rounding
        assert_as_arrays(EVERY[name], whole, device, atol=1e-4 if routes else 1e-10)


@pytest.mark.parametrize("name", EVERY)
def test_what_has_no_score(device, name):
    x, _ = random_pair(1)
    for flat in (np.zeros((len(x), 5)), np.full((len(x), 5), 0.1), np.full((len(x), 5), 0.1) + np.arange(5) / 3):
        for pair in ((x, flat), (flat, x)):
            if np.isnan(EVERY[name](*pair)):
                assert np.isnan(EVERY[name](*placed(pair, device)))
            else:
                assert flat.any()  # only angles between equal rows may have a score, by rounding
                assert "correlation" in name or "cosine" in name


@pytest.mark.parametrize("name", ["svcca", "cca", "cca_squared", "procrustes"])
def test_large_products(device, name):
    """Scores of the pairs are as exact as the CPU's; its draws are in single precision, the device's are not."""
    r = np.random.default_rng(0)
    z = r.standard_normal((420, 90))
    for y in (50.0 * z[:, :80] + r.standard_normal((420, 80)), z[:, :2] @ r.standard_normal((2, 100)), z):
        pair = z + 0.1 * r.standard_normal((420, 90)), y
        scorer, permutation = METRICS[name].prepare(*placed(pair, device)), r.permutation(420)
        assert scorer(np.arange(420)) == pytest.approx(METRICS[name](*pair), abs=1e-11)
        assert scorer(permutation) == pytest.approx(METRICS[name](pair[0], y[permutation]), abs=1e-11)


def test_large_draws_that_must_tie_do_tie(device):
    scorer = METRICS["cca"].prepare(*placed(np.random.default_rng(0).standard_normal((2, 80, 100)), device))
    assert [scorer(np.random.default_rng(i).permutation(80)) for i in range(5)] == pytest.approx([1.0] * 5, abs=1e-12)


@pytest.mark.parametrize("name", METRICS)
def test_precision_and_gradients_do_not_matter(device, name):
    x, y = placed(random_pair(5), device)
    x, y = x[:, :5].float().requires_grad_(), y[:, :5].bfloat16()
    expected = METRICS[name](*(side.detach().cpu().double().numpy() for side in (x, y)))
    assert METRICS[name](x, y) == pytest.approx(expected, abs=1e-10)


def test_options_reach_the_device(device):
    pair = random_pair(7)
    tensors = placed(pair, device)
    for score in (partial(cka_rbf, bandwidth=0.4), partial(mutual_knn, k=2), partial(svcca, n_components=3)):
        assert score(*tensors) == pytest.approx(score(*pair), abs=1e-10)
    for kind in ("svcca", "mutual_knn"):
        small = tuple(side[:9] for side in pair)
        assert METRICS[kind].warnings(*placed(small, device)) == METRICS[kind].warnings(*small)


@pytest.mark.parametrize("name", METRICS)
def test_no_matrix_of_the_pairs_comes_back(device, name, returned):
    pair = tuple(side[:, :5] for side in planted_pair())
    scorer = METRICS[name].prepare(*placed(pair, device))
    del returned[:]  # what the tensors were made of, and decisions about the components
    scorer(np.random.default_rng(0).permutation(400))
    assert all(np.prod(shape) <= 5 * 5 for shape in returned)


@pytest.mark.parametrize("name", METRICS)
def test_no_matrix_of_the_pairs_comes_back_from_preparing(device, name, returned):
    tensors = placed(tuple(side[:, :5] for side in planted_pair()), device)
    del returned[:]
    METRICS[name].prepare(*tensors)
    assert all(np.prod(shape) <= 5 * 5 for shape in returned)


def test_bad_input_has_the_same_messages(device):
    x, y = random_pair(1)
    with_nan = np.where(np.arange(y.size).reshape(y.shape) == 3, np.nan, y)
    for pair in ((x[0], y[0]), (x, y[:-1]), (x[:2], y[:2]), (x, with_nan)):
        with pytest.raises(ValueError) as expected:
            METRICS["rsa"](*pair)
        with pytest.raises(ValueError) as found:
            METRICS["rsa"](*placed(pair, device))
        assert str(found.value) == str(expected.value)


@pytest.mark.parametrize("name", METRICS)
def test_both_sides_are_on_one_device(monkeypatch, name):
    monkeypatch.setattr(inputs, "stays_in_place", lambda matrix: isinstance(matrix, torch.Tensor))
    x, y = random_pair(1)
    with pytest.raises(ValueError, match="expected x and y on one device, got meta and cpu"):
        METRICS[name](torch.empty(x.shape, device="meta"), y)


def test_a_function_of_the_users_own_is_given_arrays(device):
    metric = Metric.from_function("mine", lambda x, y: np.linalg.norm(x) - np.linalg.norm(y[:3]))
    assert_as_arrays(metric, random_pair(1), device)


@pytest.mark.parametrize("shape", [(1, 7), (7, 1), (30, 20), (20, 30), (90, 90)])
def test_nuclear_norm_is_the_sum_of_singular_values(device, shape):
    r = np.random.default_rng(0)
    u, v = (np.linalg.qr(r.standard_normal((side, min(shape))))[0] for side in shape)
    for values in (np.ones(min(shape)), np.linspace(0, 1, min(shape)), 10.0 ** -np.linspace(0, 20, min(shape))):
        matrix = torch.tensor(u * values @ v.T, device=device)
        assert backend.nuclear_norm(matrix) == pytest.approx(values.sum(), abs=2e-12 * min(shape))


@pytest.mark.parametrize("n", [3, 4, 31])
def test_steps_agree_with_those_on_arrays(device, n):
    r = np.random.default_rng(n)
    matrix = np.round(r.standard_normal((n, 3)) * 4)
    distances = pdist(matrix)
    permutation = r.permutation(n)
    calls = [
        ("distances", matrix),
        ("square", distances),
        ("condensed", squareform(distances)),
        ("centred_ranks", distances),
        ("median", distances),
        ("kth_smallest", matrix, 2),
        ("row_sums", distances[:n], np.sort(r.integers(0, n, n)), n + 2),
    ]
    for name, *arguments in calls:
        tensors = [torch.tensor(each, device=device) if isinstance(each, np.ndarray) else each for each in arguments]
        expected, found = getattr(backend, name)(*arguments), getattr(backend, name)(*tensors)
        np.testing.assert_allclose(found.cpu().numpy(), expected, rtol=0, atol=1e-14, err_msg=name)
    tensors = (torch.tensor(each, device=device) for each in (distances, squareform(distances)))
    expected = backend.permuted_dot(distances, squareform(distances))(permutation)
    assert backend.permuted_dot(*tensors)(permutation) == pytest.approx(expected, rel=1e-14)
