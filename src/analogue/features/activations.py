"""Feature activations of one SAE over a token stream, in compressed sparse rows."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Int32, Int64
from scipy.sparse import csr_array


@dataclass(frozen=True, eq=False)
class FeatureActivations:
    """Activations (n_tokens, d_sae) of one SAE: one row per token, the features that fire on it in each row.

    The rows are canonical: feature indices ascend within a row, none occurs twice, and no zero is stored, so that
    "stored" and "fires" mean the same. The arrays may be (read-only) memory maps; nothing here copies them.

    Attributes:
        indptr: (n_tokens + 1,) row t holds entries `indptr[t]` to `indptr[t + 1]`.
        indices: (nnz,) the feature of each entry, in [0, d_sae).
        values: (nnz,) its activation, finite and not zero.
        d_sae: width of the SAE.

    Raises:
        ValueError: if the lengths disagree, an index is out of range, a value is not finite, or the rows are not
            canonical. `from_scipy` and `from_dense` make canonical rows of anything finite.
    """

    indptr: Int64[np.ndarray, " n_tokens+1"]
    indices: Int32[np.ndarray, " nnz"]
    values: Float32[np.ndarray, " nnz"]
    d_sae: int

    def __post_init__(self) -> None:
        _check_dtypes(self)
        _check_lengths(self)
        _check_entries(self)

    @property
    def n_tokens(self) -> int:
        """Number of tokens (rows)."""
        return len(self.indptr) - 1

    @property
    def shape(self) -> tuple[int, int]:
        """(n_tokens, d_sae)."""
        return self.n_tokens, self.d_sae

    @property
    def nnz(self) -> int:
        """Number of (token, feature) entries that are active."""
        return len(self.indices)

    @classmethod
    def from_scipy(cls, matrix: Any) -> "FeatureActivations":
        """Take a SciPy sparse matrix or array (n_tokens, d_sae) of any format and real dtype.

        Duplicates are summed and zeros dropped. The argument is never changed; canonical float32 rows are shared,
        not copied.
        """
        rows = csr_array(matrix)
        # SciPy's own kernels know no float16, and a sum of duplicates should not round to it.
        data = rows.data.astype(np.promote_types(rows.data.dtype, np.float32), copy=False)
        if not rows.has_canonical_format:
            rows = csr_array((data, rows.indices, rows.indptr), shape=rows.shape, copy=True)
            rows.sum_duplicates()
            data = rows.data
        return _canonical(rows.indptr, rows.indices, data, rows.shape[1])

    @classmethod
    def from_dense(cls, activations: Any) -> "FeatureActivations":
        """Take a dense (n_tokens, d_sae) torch tensor (any device) or NumPy array of any real dtype; zeros drop out."""
        if activations.ndim != 2:
            raise ValueError(f"expected activations of shape (n_tokens, d_sae), got shape {tuple(activations.shape)}")
        n_tokens, d_sae = activations.shape
        tokens, features, values = _nonzero(activations)
        indptr = np.zeros(n_tokens + 1, dtype=np.int64)
        np.cumsum(np.bincount(tokens, minlength=n_tokens), out=indptr[1:])
        return _canonical(indptr, features, values, d_sae)

    def to_scipy(self) -> csr_array:
        """A SciPy CSR array (n_tokens, d_sae) of float32 over the same memory."""
        rows = csr_array((self.values, self.indices, self.indptr), shape=self.shape, copy=False)
        rows.has_canonical_format = True
        return rows

    def at_tokens(self, tokens: Any) -> "FeatureActivations":
        """The same features on these tokens, in this order; a token may come more than once."""
        return FeatureActivations.from_scipy(self.to_scipy()[tokens])

    def n_active(self) -> Int64[np.ndarray, " d_sae"]:
        """Firing count: the number of tokens each feature fires on."""
        return np.bincount(self.indices, minlength=self.d_sae).astype(np.int64, copy=False)

    def l0(self) -> float:
        """Mean number of active features per token (NaN without tokens)."""
        return self.nnz / self.n_tokens if self.n_tokens else float("nan")


def _nonzero(activations: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Token, feature and value of every entry that is not zero, in row order."""
    if hasattr(activations, "detach"):  # a torch tensor, without importing torch
        activations = activations.detach()
        tokens, features = activations.nonzero(as_tuple=True)
        values = activations[tokens, features].float()
        return tokens.cpu().numpy(), features.cpu().numpy(), values.cpu().numpy()
    activations = np.asarray(activations)
    tokens, features = np.nonzero(activations)
    return tokens, features, activations[tokens, features]


def _canonical(indptr: np.ndarray, indices: np.ndarray, values: np.ndarray, d_sae: int) -> FeatureActivations:
    """Cast sorted rows without duplicates to the stored dtypes and drop zeros, copying only what changes."""
    with np.errstate(over="ignore"):  # an overflow becomes inf, which the constructor reports
        values = values.astype(np.float32, copy=False)
    indices = indices.astype(np.int32, copy=False)
    indptr = indptr.astype(np.int64, copy=False)
    # Zeros are looked for after the cast: a tiny float64 becomes one.
    if np.count_nonzero(values) < len(values):
        active = values != 0
        indptr = np.concatenate([[0], np.cumsum(active)])[indptr]
        indices, values = indices[active], values[active]
    return FeatureActivations(indptr, indices, values, int(d_sae))


def _check_dtypes(acts: FeatureActivations) -> None:
    for name, dtype in (("indptr", np.int64), ("indices", np.int32), ("values", np.float32)):
        array = getattr(acts, name)
        if array.ndim != 1 or array.dtype != dtype:
            raise ValueError(f"expected {name} 1-D of {np.dtype(dtype)}, got {array.ndim}-D of {array.dtype}")


def _check_lengths(acts: FeatureActivations) -> None:
    if len(acts.indices) != len(acts.values):
        raise ValueError(f"expected as many values as indices ({len(acts.indices)}), got {len(acts.values)}")
    if len(acts.indptr) < 1 or acts.indptr[0] != 0 or acts.indptr[-1] != acts.nnz:
        ends = acts.indptr[[0, -1]].tolist() if len(acts.indptr) else []
        raise ValueError(f"expected indptr from 0 to nnz = {acts.nnz}, got ends {ends}")
    if (np.diff(acts.indptr) < 0).any():
        raise ValueError("expected indptr never to decrease, got a decrease")


def _check_entries(acts: FeatureActivations) -> None:
    if acts.nnz == 0:
        return
    low, high = int(acts.indices.min()), int(acts.indices.max())
    if low < 0 or high >= acts.d_sae:
        raise ValueError(f"expected feature indices in [0, {acts.d_sae}), got {low} to {high}")
    n_bad = acts.nnz - np.count_nonzero(np.isfinite(acts.values))
    if n_bad:
        raise ValueError(f"expected finite values, got {n_bad} NaN or infinite")
    ascending = acts.indices[1:] > acts.indices[:-1]
    starts = acts.indptr[1:-1]
    ascending[starts[(starts > 0) & (starts < acts.nnz)] - 1] = True  # a new row may start anywhere
    if not ascending.all() or np.count_nonzero(acts.values) < acts.nnz:
        raise ValueError(
            "expected canonical rows (ascending indices, no duplicates, no zeros), got others: "
            "build them with from_scipy or from_dense"
        )
