"""Every metric written out from its formula, plainly and slowly, sharing no code with the package."""

from functools import partial

import numpy as np
from scipy.linalg import orth, subspace_angles
from scipy.spatial.distance import cdist
from scipy.stats import kendalltau, pearsonr, spearmanr


def kept_scores(matrix: np.ndarray, variance: float) -> np.ndarray:
    """Principal component scores by the eigenvectors of the covariance."""
    centred = matrix - matrix.mean(0)
    values, vectors = np.linalg.eigh(centred.T @ centred)
    values, vectors = values[::-1], vectors[:, ::-1]
    rank = np.linalg.matrix_rank(centred, tol=1e-9 * np.linalg.norm(centred))
    fractions = np.cumsum(values[:rank]) / values[:rank].sum()
    return (centred @ vectors)[:, : min(rank, int(np.sum(fractions < variance - 1e-12)) + 1)]


def canonical_correlations(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = (orth(side - side.mean(0), rcond=1e-9) for side in (x, y))
    return np.sort(np.cos(subspace_angles(x, y)))[::-1]


def svcca(x: np.ndarray, y: np.ndarray, variance: float = 0.99) -> float:
    return float(np.mean(canonical_correlations(kept_scores(x, variance), kept_scores(y, variance))))


def svcca_pc1(x: np.ndarray, y: np.ndarray) -> float:
    return abs(float(pearsonr(kept_scores(x, 1.0)[:, 0], kept_scores(y, 1.0)[:, 0]).statistic))


def cca(x: np.ndarray, y: np.ndarray, squared: bool = False) -> float:
    correlations = canonical_correlations(x, y)
    return float(np.mean(correlations**2 if squared else correlations))


def pwcca_canonical(x: np.ndarray, y: np.ndarray) -> float:
    """Canonical variates by projecting on the other side, the eigenvectors of P_x P_y."""
    a, b = (orth(side - side.mean(0), rcond=1e-9) for side in (x, y))
    squared, vectors = np.linalg.eigh(a.T @ b @ b.T @ a)
    k = min(a.shape[1], b.shape[1])
    variates, correlations = (a @ vectors)[:, ::-1][:, :k], np.sqrt(np.clip(squared[::-1][:k], 0, None))
    weights = sum(np.abs(variates.T @ column) for column in (x - x.mean(0)).T)
    return float(weights @ correlations / weights.sum())


def pwcca_published(x: np.ndarray, y: np.ndarray) -> float:
    """The steps of `compute_pwcca` of google/svcca, for full column rank."""
    if x.shape[1] > y.shape[1]:
        x, y = y, x
    d = x.shape[1]
    covariance = np.cov(x.T, y.T)
    root_x, root_y = (_inverse_root(covariance[block, block]) for block in (slice(None, d), slice(d, None)))
    u, correlations, _ = np.linalg.svd(root_x @ covariance[:d, d:] @ root_y)
    directions = u.T @ (x - x.mean(0)).T + x.mean(0)[:, None]
    weights = np.abs(np.linalg.qr(directions.T)[0].T @ x).sum(1)
    return float(weights @ correlations / weights.sum())


def _inverse_root(covariance: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(covariance)
    return vectors / np.sqrt(values) @ vectors.T


def distances(matrix: np.ndarray, inner: str) -> np.ndarray:
    if inner == "euclidean":
        square = cdist(matrix, matrix)
    else:
        rows = matrix - matrix.mean(1, keepdims=True) if inner == "correlation" else matrix
        rows = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        square = 1 - rows @ rows.T
    return square[np.triu_indices(len(matrix), 1)]


def rsa(x: np.ndarray, y: np.ndarray, inner: str = "euclidean", outer: str = "spearman") -> float:
    """Distances tie that are equal to 10 decimals: those of duplicates and of rows that a side repeats."""
    correlate = {"spearman": spearmanr, "pearson": pearsonr, "kendall": kendalltau}[outer]
    return float(correlate(*(np.round(distances(side, inner), 10) for side in (x, y))).statistic)


def cka(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(0), y - y.mean(0)
    return float(np.sum((x.T @ y) ** 2) / np.linalg.norm(x.T @ x) / np.linalg.norm(y.T @ y))


def hsic_1(k: np.ndarray, q: np.ndarray) -> float:
    """Song et al. 2012: the unbiased estimator, term by term."""
    n = len(k)
    k, q = k - np.diag(np.diag(k)), q - np.diag(np.diag(q))
    one = np.ones(n)
    terms = np.trace(k @ q) + one @ k @ one * (one @ q @ one) / (n - 1) / (n - 2) - 2 / (n - 2) * one @ k @ q @ one
    return terms / (n * (n - 3))


def cka_debiased(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(0), y - y.mean(0)
    k, q = x @ x.T, y @ y.T
    return float(hsic_1(k, q) / np.sqrt(hsic_1(k, k) * hsic_1(q, q)))


def cka_rbf(x: np.ndarray, y: np.ndarray, bandwidth: float = 1.0) -> float:
    n = len(x)
    centring = np.eye(n) - 1 / n
    kernels = []
    for side in (x, y):
        square = cdist(side, side)
        sigma = bandwidth * np.median(square[np.triu_indices(n, 1)])
        kernels.append(np.exp(-(square**2) / (2 * sigma**2)))
    k, q = kernels
    hsic = lambda s, t: np.trace(s @ centring @ t @ centring)  # noqa: E731
    return float(hsic(k, q) / np.sqrt(hsic(k, k) * hsic(q, q)))


def procrustes(x: np.ndarray, y: np.ndarray) -> float:
    x, y = (side - side.mean(0) for side in (x, y))
    x, y = (side / np.linalg.norm(side) for side in (x, y))
    width = max(x.shape[1], y.shape[1])
    x, y = (np.pad(side, ((0, 0), (0, width - side.shape[1]))) for side in (x, y))
    u, _, vt = np.linalg.svd(x.T @ y)
    return 1 - 0.5 * float(np.linalg.norm(x @ u @ vt - y) ** 2)


def mutual_knn(x: np.ndarray, y: np.ndarray, k: int = 10, agreement: str = "overlap") -> float:
    """For distances without ties."""
    k = min(k, (len(x) - 1) // 2)
    near = [[set(np.argsort(row)[1 : k + 1]) for row in cdist(side, side)] for side in (x, y)]
    shares = [len(a & b) / (k if agreement == "overlap" else len(a | b)) for a, b in zip(*near, strict=True)]
    return float(np.mean(shares))


ORACLES = {
    "svcca": svcca,
    "svcca_pc1": svcca_pc1,
    "cca": cca,
    "cca_squared": partial(cca, squared=True),
    "rsa": rsa,
    "rsa_correlation": partial(rsa, inner="correlation"),
    "rsa_cosine": partial(rsa, inner="cosine"),
    "cka": cka,
    "cka_debiased": cka_debiased,
    "cka_rbf": cka_rbf,
    "procrustes": procrustes,
    "mutual_knn": mutual_knn,
    "mutual_knn_jaccard": partial(mutual_knn, agreement="jaccard"),
}
