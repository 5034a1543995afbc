"""The SAEs that one run trains: every layer with every width and every seed."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Variant:
    """One SAE to train.

    Attributes:
        name: `layer_3`, or `layer_3/seed_0/d_sae_768` where seeds or widths differ: its folder, and its name in logs.
        seed: of its initial weights.
    """

    name: str
    layer: int
    seed: int
    d_sae: int


def variants(layers: Sequence[int], seeds: Sequence[int], d_saes: Sequence[int]) -> list[Variant]:
    """Every combination; what does not vary is not in the names, the layer excepted."""
    return [
        Variant(_name(layer, seed if len(seeds) > 1 else None, d_sae if len(d_saes) > 1 else None), layer, seed, d_sae)
        for layer in layers
        for seed in seeds
        for d_sae in d_saes
    ]


def _name(layer: int, seed: int | None, d_sae: int | None) -> str:
    parts = {"layer": layer, "seed": seed, "d_sae": d_sae}
    return "/".join(f"{part}_{value}" for part, value in parts.items() if value is not None)
