"""Matrix pairs that the tests of this room share."""

import numpy as np

SEEDS = range(24)


def planted_pair() -> tuple[np.ndarray, np.ndarray]:
    """The pair of the reference values: 12 shared directions, 400 rows of unit norm."""
    r = np.random.default_rng(0)
    z = r.standard_normal((400, 12))
    x = z @ r.standard_normal((12, 24)) + r.standard_normal((400, 24))
    y = z @ r.standard_normal((12, 32)) + r.standard_normal((400, 32))
    return tuple(side / np.linalg.norm(side, axis=1, keepdims=True) for side in (x, y))


def random_pair(seed: int, minimum: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Related matrices of random shape, with non-zero means and scales other than 1; every third has n < d."""
    r = np.random.default_rng(seed)
    n = int(r.integers(minimum, 60))
    d_a, d_b = (int(d) for d in (r.integers(n, 80, 2) if seed % 3 == 0 else r.integers(4, n, 2)))
    z = r.standard_normal((n, 3))
    x = z @ r.standard_normal((3, d_a)) + r.standard_normal((n, d_a))
    y = z @ r.standard_normal((3, d_b)) + r.standard_normal((n, d_b))
    return 7.0 * x + r.standard_normal(d_a) * 5, 0.03 * y + r.standard_normal(d_b)


def awkward_pair(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """As `random_pair`, with duplicate rows, constant columns, a repeated column, and values that tie."""
    x, y = random_pair(seed, minimum=14)
    x, y = np.round(x), np.round(y * 30) / 10
    x[1], y[3] = x[0], y[2]
    x[-1], y[-1] = x[0], y[0]
    x, y = np.column_stack([x, np.full(len(x), 0.1), x[:, 0]]), np.column_stack([y, np.full(len(y), -3.3)])
    return x, y


def rotation(d: int, seed: int = 0) -> np.ndarray:
    """A random orthogonal matrix."""
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]
