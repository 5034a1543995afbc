"""The dense engine against a plain dense float64 computation."""

import numpy as np
import pytest
import torch

from analogue.features import FeatureActivations
from analogue.matching import BestPartners, TokenChunks, best_partners, best_partners_dense
from analogue.matching.dense.arithmetic import PRECISIONS, error_bound
from analogue.matching.dense.moments import dense_moments, live_side
from analogue.matching.dense.scores import _add_on_cpu, _add_on_device
from analogue.matching.dense.stream import Stream
from analogue.matching.dense.tiles import candidate_pairs, correlation_tile
from tests.devices import needs_cuda
from tests.matching.test_best_partners import assert_best, dense_correlations

SHAPES = [(1, 3, 4), (2, 5, 5), (7, 1, 6), (40, 30, 1), (90, 70, 50), (300, 40, 130)]


def related_activations(rng: np.random.Generator, n: int, d_a: int, d_b: int, noise: float = 1.0) -> list[np.ndarray]:
    """Two sides that read the same 8 causes, off-centre, of mixed scales, with constant features and duplicates."""
    causes = rng.standard_normal((n, 8))
    sides = []
    for d in (d_a, d_b):
        acts = causes @ rng.standard_normal((8, d)) + noise * rng.standard_normal((n, d))
        acts = (acts + 3 * rng.standard_normal(d)) * 10.0 ** rng.integers(-2, 3, d)
        acts[:, rng.random(d) < 0.1] = 0.3
        sides.append(np.where(rng.random(d) < 0.2, acts[:, rng.integers(0, d, d)], acts))
    return sides


def independent_activations(rng: np.random.Generator, n: int, d_a: int, d_b: int) -> list[np.ndarray]:
    """No feature has a partner: the hardest case for rounded tiles."""
    return [rng.standard_normal((n, d)) for d in (d_a, d_b)]


def assert_both(found: tuple[BestPartners, BestPartners], a: np.ndarray, b: np.ndarray, k: int) -> None:
    corr = dense_correlations(a, b)
    assert_best(found[0], corr, np.arange(b.shape[1]), b, k)
    assert_best(found[1], corr.T, np.arange(a.shape[1]), a, k)


@pytest.mark.parametrize("draw", [related_activations, independent_activations])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_agrees_with_dense(draw, shape: tuple[int, int, int], precision, dtype: type) -> None:
    rng = np.random.default_rng(shape)
    a, b = (side.astype(dtype) for side in draw(rng, *shape))
    chunks = TokenChunks(a, b, size=37)
    for k in (1, 3, shape[2] + 2):
        assert_both(best_partners_dense(chunks, k, direction="both", precision=precision), a, b, k)


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("k", [1, 4])
def test_tiles_chunks_and_directions_do_not_matter(precision, k: int) -> None:
    a, b = (side.astype(np.float32) for side in related_activations(np.random.default_rng(1), 150, 61, 47))
    whole = best_partners_dense(TokenChunks(a, b), k, direction="both", precision=precision)
    assert_both(whole, a, b, k)
    for size, tile_bytes in ((80, 1), (40, 5000), (1, 2**30)):
        chunks = TokenChunks(torch.from_numpy(a), torch.from_numpy(b), size)
        both = best_partners_dense(chunks, k, direction="both", precision=precision, tile_bytes=tile_bytes)
        one_way = best_partners_dense(chunks, k, precision=precision, tile_bytes=tile_bytes)
        back = best_partners_dense(list(chunks), k, direction="b_to_a", precision=precision, tile_bytes=tile_bytes)
        for expected, got in [(whole[0], both[0]), (whole[1], both[1]), (whole[0], one_way), (whole[1], back)]:
            np.testing.assert_array_equal(got.indices, expected.indices)
            np.testing.assert_allclose(got.correlations, expected.correlations, rtol=0, atol=2e-12)


def test_agrees_with_the_sparse_engine() -> None:
    rng = np.random.default_rng(2)
    a, b = ((rng.random((200, d)) * (rng.random((200, d)) < 0.1)).astype(np.float32) for d in (50, 80))
    for k, subset in ((1, None), (5, [7, 3, 20, 3])):
        sparse = best_partners(
            *map(FeatureActivations.from_dense, (a, b)), k, direction="both", subset_a=subset, engine="walk"
        )
        dense = best_partners_dense(TokenChunks(a, b, 64), k, direction="both", subset_a=subset)
        for expected, got in zip(sparse, dense, strict=True):
            np.testing.assert_array_equal(got.indices, expected.indices)
            np.testing.assert_allclose(got.correlations, expected.correlations, rtol=0, atol=2e-12)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_large_means_keep_their_digits(precision) -> None:
    """Means of 10^6 standard deviations: float32 holds 4 bits of the deviations, and centring must not lose one."""
    rng = np.random.default_rng(3)
    causes = rng.standard_normal((400, 3))
    a, b = (
        (1e4 + 0.01 * (causes @ rng.standard_normal((3, d)) + rng.standard_normal((400, d)))).astype(np.float32)
        for d in (12, 9)
    )
    assert_both(best_partners_dense(TokenChunks(a, b, 100), 9, direction="both", precision=precision), a, b, 9)


@pytest.mark.parametrize("draw", [related_activations, independent_activations])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_tiles_err_less_than_their_bound(draw, precision: str) -> None:
    sides = [torch.from_numpy(side) for side in draw(np.random.default_rng(4), 2000, 60, 70)]
    stream = Stream([tuple(sides)], torch.device("cpu"), counts=(2000,))
    a, b = (live_side(moments, None) for moments in dense_moments(stream)[:2])
    rough = correlation_tile(stream, a, b, precision)
    exact = dense_correlations(*(side.numpy() for side in sides))[np.ix_(a.features, b.features)]
    error = np.abs(rough.double().numpy() - exact).max()
    assert error < error_bound(precision, 2000)
    if precision == "bf16":
        assert error > error_bound("float32", 2000)  # the bound is of bf16's size for a reason


def test_rounded_tiles_need_few_candidates_where_partners_stand_out() -> None:
    causes = np.random.default_rng(5).standard_normal((3000, 200))
    a, b = (causes + 0.5 * np.random.default_rng(seed).standard_normal((3000, 200)) for seed in (6, 7))
    stream = Stream(TokenChunks(a, b), torch.device("cpu"), counts=(3000,))
    sides = [live_side(moments, None) for moments in dense_moments(stream)[:2]]
    pairs = candidate_pairs(stream, *sides, k=1, precision="bf16", both=True, tile_bytes=2**30)
    assert [labels.tolist() for labels in pairs] == [list(range(200))] * 2


@pytest.mark.parametrize(("precision", "n_tiles"), [("float64", 10), ("float32", 5), ("bf16", 5)])
def test_a_tile_fits_its_memory_twice(precision, n_tiles: int) -> None:
    class Counted(list):
        n_passes = 0

        def __iter__(self):
            self.n_passes += 1
            return super().__iter__()

    chunks = Counted(TokenChunks(*related_activations(np.random.default_rng(13), 30, 40, 50)))
    side_a, side_b = chunks[0]
    side_a += torch.linspace(0, 1, 30)[:, None]  # nobody is constant
    side_b += torch.linspace(0, 1, 30)[:, None]
    best_partners_dense(chunks, 50, precision=precision, tile_bytes=2 * 4 * 50 * 8)
    assert chunks.n_passes == n_tiles + 2  # moments, and exact correlations


def test_ties_go_to_the_lowest_feature_in_every_tile() -> None:
    """Far more equal partners than a rounded tile may list."""
    rng = np.random.default_rng(8)
    a, b = rng.standard_normal((50, 3)).astype(np.float32), np.zeros((50, 400), dtype=np.float32)
    b[:, 100:] = a[:, [1]] * np.float32(0.5)
    for precision in PRECISIONS:
        forward, reverse = best_partners_dense(TokenChunks(a, b), 4, direction="both", precision=precision)
        assert (forward.indices == [100, 101, 102, 103]).all()
        assert (forward.correlations[1] == 1.0).all()
        assert (reverse.indices[:100] == -1).all()
        assert (reverse.indices[100:, 0] == 1).all()


@pytest.mark.parametrize("n_ranks", [1, 2, 3, 5])
def test_subsets_of_the_claiming_side_concatenate(n_ranks: int) -> None:
    a, b = related_activations(np.random.default_rng(9), 120, 37, 23)
    chunks = TokenChunks(a, b, 50)
    whole = best_partners_dense(chunks, 2)
    parts = [best_partners_dense(chunks, 2, subset_a=share) for share in np.array_split(np.arange(37), n_ranks)]
    np.testing.assert_array_equal(np.concatenate([part.indices for part in parts]), whole.indices)
    np.testing.assert_allclose(
        np.concatenate([part.correlations for part in parts]), whole.correlations, rtol=0, atol=2e-12
    )


def test_nobody_to_pair() -> None:
    for a, b in ((np.ones((5, 3)), np.eye(5)), (np.eye(5), np.ones((5, 2))), (np.eye(1), np.eye(1))):
        for found in best_partners_dense(TokenChunks(a, b), 2, direction="both"):
            assert (found.indices == -1).all()
            assert np.isnan(found.correlations).all()
    nobody = best_partners_dense(TokenChunks(np.eye(4), np.eye(4)), subset_b=[])
    assert (nobody.indices == -1).all()


def test_read_only_memory_maps_and_empty_chunks(tmp_path) -> None:
    a, b = related_activations(np.random.default_rng(10), 60, 9, 8)
    for name, side in (("a", a), ("b", b)):
        np.save(tmp_path / f"{name}.npy", side)
    mapped = TokenChunks(*(np.load(tmp_path / f"{name}.npy", mmap_mode="r") for name in "ab"), size=25)
    chunks = [(torch.empty(0, 9), torch.empty(0, 8)), *mapped]
    expected = best_partners_dense(TokenChunks(a, b))
    for given in (mapped, chunks):
        np.testing.assert_array_equal(best_partners_dense(given).indices, expected.indices)


def test_matmul_settings_are_put_back() -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        best_partners_dense(TokenChunks(np.eye(4), np.eye(4)), precision="tf32")
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"k": 0}, "k >= 1, got 0"),
        ({"direction": "sideways"}, "got 'sideways'"),
        ({"precision": "int8"}, "'tf32', 'bf16', got 'int8'"),
        ({"tile_bytes": 0}, "tile_bytes >= 1, got 0"),
        ({"subset_a": [0, 9]}, r"subset_a in \[0, 4\), got 0 to 9"),
    ],
)
def test_bad_arguments(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        best_partners_dense(TokenChunks(np.eye(4), np.eye(4)), **arguments)


def test_bad_chunks() -> None:
    four, five = torch.eye(4), torch.eye(5)
    bad = torch.tensor([[1.0, torch.nan], [0.0, 1.0]])
    for chunks, message in [
        ([], "at least one token"),
        (iter([(four, four)]), "got an iterator"),
        ([(four, five)], "same tokens, got shapes"),
        ([(four, four), (four, torch.ones(4, 3))], r"widths \(4, 4\), got \(4, 3\)"),
        ([(four.int(), four)], "floating dtypes, got torch.int32"),
        ([(bad, bad)], "infinite ones in 1 features of A"),
    ]:
        with pytest.raises(ValueError, match=message):
            best_partners_dense(chunks)
    with pytest.raises(ValueError, match="size >= 1, got 0"):
        TokenChunks(four, four, size=0)
    with pytest.raises(ValueError, match=r"same tokens, got shapes \(\(4, 4\), \(5, 5\)\)"):
        TokenChunks(four, five)


def test_passes_must_give_the_same_tokens() -> None:
    chunks = [(torch.eye(8), torch.eye(8))]

    class Shrinking:
        def __iter__(self):
            yield from chunks
            chunks[0] = (torch.eye(6, 8), torch.eye(6, 8))

    with pytest.raises(ValueError, match="same 8 tokens on every pass, got 6"):
        best_partners_dense(Shrinking())


@needs_cuda
@pytest.mark.parametrize("precision", PRECISIONS)
def test_cuda(precision) -> None:
    a, b = (side.astype(np.float32) for side in related_activations(np.random.default_rng(11), 500, 300, 200))
    found = best_partners_dense(TokenChunks(a, b, 128), 3, direction="both", precision=precision, device="cuda")
    assert_both(found, a, b, 3)


def test_exact_correlations_agree_on_any_device() -> None:
    """The compiled sum for the CPU and the one for other devices, both run here."""
    rng = np.random.default_rng(12)
    a, b = (torch.from_numpy(rng.standard_normal((50, d)) + 3).half() for d in (6, 7))
    sides = [live_side(moments, None) for moments in dense_moments(Stream([(a, b)], torch.device("cpu")))[:2]]
    labels_a, labels_b = (torch.from_numpy(rng.integers(0, 6, 200)) for _ in range(2))
    totals = [torch.zeros(200, dtype=torch.float64) for _ in range(2)]
    for add, total in zip((_add_on_cpu, _add_on_device), totals, strict=True):
        add(total, a, b, *sides, labels_a, labels_b)
    torch.testing.assert_close(*totals, rtol=1e-12, atol=1e-12)
