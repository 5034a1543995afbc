"""Two streams of activations as their moments: all that maps between them are fitted on."""

from typing import NamedTuple

from jaxtyping import Float, Float64
from torch import Tensor


class PairedMoments(NamedTuple):
    """Sums over tokens on which two streams were read together, float64; moments of parts add up to those of all.

    Attributes:
        n: () number of tokens.
        sum_x: (d_x,) sum of x.
        sum_y: (d_y,) sum of y.
        xx: (d_x, d_x) sum of the outer products of x with itself.
        yy: (d_y, d_y) likewise of y.
        xy: (d_x, d_y) sum of the outer products of x with y.
    """

    n: Float64[Tensor, ""]
    sum_x: Float64[Tensor, " d_x"]
    sum_y: Float64[Tensor, " d_y"]
    xx: Float64[Tensor, "d_x d_x"]
    yy: Float64[Tensor, "d_y d_y"]
    xy: Float64[Tensor, "d_x d_y"]

    def reverse(self) -> "PairedMoments":
        """The same with x and y exchanged."""
        return PairedMoments(self.n, self.sum_y, self.sum_x, self.yy, self.xx, self.xy.T)

    @property
    def mean_x(self) -> Float64[Tensor, " d_x"]:
        """Mean of x over the tokens."""
        return self.sum_x / self.n

    @property
    def mean_y(self) -> Float64[Tensor, " d_y"]:
        """Mean of y over the tokens."""
        return self.sum_y / self.n

    @property
    def centred_xx(self) -> Float64[Tensor, "d_x d_x"]:
        """Sum of the outer products of x about its mean: n times the covariance."""
        return self.xx - self.sum_x.outer(self.sum_x) / self.n

    @property
    def centred_xy(self) -> Float64[Tensor, "d_x d_y"]:
        """Sum of the outer products of x with y, both about their means."""
        return self.xy - self.sum_x.outer(self.sum_y) / self.n


def paired_moments(x: Float[Tensor, "n_tokens d_x"], y: Float[Tensor, "n_tokens d_y"]) -> PairedMoments:
    """The moments of some tokens; row t of x and of y is one token."""
    x, y = x.double(), y.double()
    return PairedMoments(x.new_tensor(len(x)), x.sum(0), y.sum(0), x.T @ x, y.T @ y, x.T @ y)
