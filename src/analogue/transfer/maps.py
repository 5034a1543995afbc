"""Affine maps from one residual stream to another, fitted on moments: ridge regression, and a rotation with a scale."""

from typing import NamedTuple

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from analogue.transfer.moments import PairedMoments

RELATIVE_PENALTIES = tuple(10.0**exponent for exponent in range(-9, 3))
"""Penalties that are tried, as multiples of the mean variance of x times the number of tokens."""


class AffineMap(NamedTuple):
    """y = x W + shift.

    Attributes:
        weight: (d_x, d_y) W; maps directions: a decoder row of x to one of y.
        shift: (d_y,) what is added.
    """

    weight: Float64[Tensor, "d_x d_y"]
    shift: Float64[Tensor, " d_y"]

    def __call__(self, x: Float[Tensor, "n d_x"]) -> Float64[Tensor, "n d_y"]:
        """Map points of the stream, in float64."""
        return x.double() @ self.weight + self.shift

    def to(self, device: torch.device) -> "AffineMap":
        """The same map on another device."""
        return AffineMap(self.weight.to(device), self.shift.to(device))


class PrincipalMoments(NamedTuple):
    """Moments in the principal axes of x, where every ridge penalty is a division.

    Attributes:
        mean_x: (d_x,) mean of x.
        mean_y: (d_y,) mean of y.
        axes: (d_x, d_x) a principal axis per column.
        variation: (d_x,) sum of squares of x about its mean along each axis.
        products: (d_x, d_y) sum of the products of x along each axis with y.
        n: number of tokens.
    """

    mean_x: Float64[Tensor, " d_x"]
    mean_y: Float64[Tensor, " d_y"]
    axes: Float64[Tensor, "d_x d_x"]
    variation: Float64[Tensor, " d_x"]
    products: Float64[Tensor, "d_x d_y"]
    n: float


def principal_moments(moments: PairedMoments) -> PrincipalMoments:
    """Rotate x to its principal axes."""
    variation, axes = torch.linalg.eigh(moments.centred_xx)
    products = axes.T @ moments.centred_xy
    return PrincipalMoments(moments.mean_x, moments.mean_y, axes, variation.clamp(min=0), products, float(moments.n))


def ridge_map(principal: PrincipalMoments, penalty: float) -> AffineMap:
    """The map that minimises the sum over tokens of |y - x W - shift|^2 + penalty |W|^2; the shift is not penalised.

    W = (X'X + penalty I)^-1 X'Y of the centred x and y. Axes along which x does not vary map to zero.

    Source:
        Hoerl and Kennard 1970, Technometrics 12.
    """
    return _affine(principal.axes @ (principal.products * _shrinkage(principal, penalty)[:, None]), principal)


def leave_one_out_error(
    principal: PrincipalMoments,
    x: Float[Tensor, "n_sample d_x"],
    y: Float[Tensor, "n_sample d_y"],
    penalty: float,
) -> float:
    """Mean squared error of y on tokens that the map was fitted without, each in turn, in closed form.

    The error of token t without t is its residual divided by 1 - h_t, where h_t = 1 / n + x_t (X'X + penalty I)^-1 x_t'
    is its leverage, x_t about the mean.

    Args:
        principal: moments of all tokens, those of the sample among them.
        x: some of these tokens.
        y: the same tokens.
        penalty: of the ridge map.

    Source:
        Allen 1974, Technometrics 16 (PRESS).
    """
    along = (x.double() - principal.mean_x) @ principal.axes
    shrinkage = _shrinkage(principal, penalty)
    residual = y.double() - principal.mean_y - (along * shrinkage) @ principal.products
    leverage = 1 / principal.n + (along.square() * shrinkage).sum(1)
    return float((residual / (1 - leverage)[:, None]).square().sum(1).mean())


def best_penalty(
    principal: PrincipalMoments, x: Float[Tensor, "n_sample d_x"], y: Float[Tensor, "n_sample d_y"]
) -> float:
    """The penalty of the lowest leave-one-out error on a sample of the tokens, see `leave_one_out_error`."""
    scale = float(principal.variation.mean())
    penalties = [scale * relative for relative in RELATIVE_PENALTIES]
    return min(penalties, key=lambda penalty: leave_one_out_error(principal, x, y, penalty))


def rotation_map(moments: PairedMoments) -> AffineMap:
    """The rotation (or reflection), scale and shift that bring x closest to y: orthogonal Procrustes.

    With X'Y = U S V' of the centred x and y, W = c U V' and c = tr(S) / tr(X'X). For unequal widths the narrower side
    is padded with zeros, in effect: U V' is the part of the padded rotation that touches the columns that are there.

    Source:
        Schönemann 1966, Psychometrika 31; with scale and shift Schönemann and Carroll 1970, Psychometrika 35.
    """
    u, singular_values, vh = torch.linalg.svd(moments.centred_xy, full_matrices=False)
    weight = singular_values.sum() / moments.centred_xx.trace() * (u @ vh)
    return AffineMap(weight, moments.mean_y - moments.mean_x @ weight)


def _shrinkage(principal: PrincipalMoments, penalty: float) -> Float64[Tensor, " d_x"]:
    """1 / (variation + penalty) along each axis; 0 where x varies by no more than rounding."""
    floor = principal.variation.max() * principal.n * torch.finfo(torch.float64).eps
    return torch.where(principal.variation > floor, 1 / (principal.variation + penalty), 0)


def _affine(weight: Float64[Tensor, "d_x d_y"], principal: PrincipalMoments) -> AffineMap:
    return AffineMap(weight, principal.mean_y - principal.mean_x @ weight)
