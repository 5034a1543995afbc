"""Two Lightning passes that read both streams together: one fits maps, the other measures what they carry over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import lightning as L
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from analogue.comparison.activations import check_finite
from analogue.comparison.corpus import TokenisedCorpus
from analogue.comparison.sides import OpenSide
from analogue.comparison.transfer_metrics import FeatureCorrelation, StreamedMoments
from analogue.comparison.transfer_text import random_units
from analogue.corpus import TokenBatch, TokenDataModule
from analogue.errors import InvalidArgument, renamed_arguments
from analogue.models import ResidualStream
from analogue.quiet import quiet_libraries
from analogue.saes import ExplainedVariance, reconstruction_of, target_of
from analogue.transfer import (
    AffineMap,
    PairedMoments,
    best_penalty,
    principal_moments,
    ridge_map,
    rotation_map,
)

N_SAMPLE = 4096
"""Tokens that are held, to choose the penalty by."""
TOKENS_PER_ENCODING = 2048  # bounds the dense (tokens, d_sae) arrays, of which a few are held together
DIRECTIONS = ("a_to_b", "b_to_a")


@dataclass(frozen=True)
class FittedMaps:
    """Maps between the streams of a and b, by their direction `a_to_b` or `b_to_a`.

    Attributes:
        ridge: affine ridge regression.
        rotation: orthogonal Procrustes with scale and shift.
        shuffled: ridge regression on shuffled tokens, with the penalty of `ridge`.
        penalties: of the ridge maps.
        n_tokens: tokens, or spans, that they were fitted on.
    """

    ridge: dict[str, AffineMap]
    rotation: dict[str, AffineMap]
    shuffled: dict[str, AffineMap]
    penalties: dict[str, float]
    n_tokens: int

    def to(self, device: torch.device) -> "FittedMaps":
        """The same maps on a device."""
        ridge, rotation, shuffled = (
            {direction: each.to(device) for direction, each in maps.items()}
            for maps in (self.ridge, self.rotation, self.shuffled)
        )
        return replace(self, ridge=ridge, rotation=rotation, shuffled=shuffled)


class SideModels(nn.Module):
    """The language models of both sides, with their heads where they have one; one model for both if it is the same.

    Attributes:
        has_head: by side, whether its model can predict tokens.
    """

    def __init__(self, sides: Sequence[OpenSide], need_head: bool) -> None:
        super().__init__()
        self.models: Mapping[str, ResidualStream] = nn.ModuleDict()  # type: ignore[assignment]
        self.has_head: dict[str, bool] = {}
        for side in sides:
            same = next((each for each in sides if each.model_identity == side.model_identity), side).label
            if same in self.models:
                self.models[side.label] = self.models[same]  # type: ignore[index]
                self.has_head[side.label] = self.has_head[same]
                continue
            with renamed_arguments(model=f"{side.label}.model", device_map=f"{side.label}.device_map"):
                model, has_head = _load(side, need_head)
            self.models[side.label], self.has_head[side.label] = model, has_head  # type: ignore[index]

    def __getitem__(self, label: str) -> ResidualStream:
        return self.models[label]


class PairedReader(nn.Module):
    """Reads what the dictionaries of both sides reconstruct, on the same units of text.

    A unit is a token, or the last token of a span: there both models have read the same characters.
    """

    def __init__(self, sides: Sequence[OpenSide], models: SideModels, text: TokenisedCorpus) -> None:
        super().__init__()
        self.sides, self.models, self.text = sides, models, text
        self.places = {side.label: text.places(side.label) for side in sides}

    def forward(self, batch: TokenBatch) -> tuple[Float[Tensor, "n_units d_a"], Float[Tensor, "n_units d_b"], Tensor]:
        """Streams of a and b at the units of some sequences, and the numbers of these units."""
        sequences = batch.sequence_index.cpu().numpy()
        of_unit = self.places["a"] // self.text.sequences["a"].seq_len
        units = np.flatnonzero(np.isin(of_unit, sequences))
        a, b = self.sides
        same_pass = self.models[a.label] is self.models[b.label] and self.text.aligned is None
        sites = [(side.layer, str(side.model.hook)) for side in self.sides]
        if same_pass:
            read = self._read(a, sequences, sites, batch.ids.device)
            streams = [read[site] for site in sites]
        else:
            streams = [
                self._read(side, sequences, [site], batch.ids.device)[site]
                for side, site in zip(self.sides, sites, strict=True)
            ]
        x, y = (self._at_units(side, acts, sequences, units) for side, acts in zip(self.sides, streams, strict=True))
        return x, y, torch.from_numpy(units)

    def _read(
        self, side: OpenSide, sequences: np.ndarray, sites: list[tuple[int, str]], device: torch.device
    ) -> dict[tuple[int, str], Tensor]:
        tokens = self.text.sequences[side.label]
        ids, mask = (torch.from_numpy(each[sequences]).to(device) for each in (tokens.ids, tokens.mask))
        with renamed_arguments(hook=f"{side.label}.hook"):
            return self.models[side.label].read(ids, mask, list(dict.fromkeys(sites)))

    def _at_units(self, side: OpenSide, acts: Tensor, sequences: np.ndarray, units: np.ndarray) -> Tensor:
        seq_len = self.text.sequences[side.label].seq_len
        sequence, position = np.divmod(self.places[side.label][units], seq_len)
        row_of = np.zeros(int(sequences.max(initial=0)) + 1, dtype=np.int64)
        row_of[sequences] = np.arange(len(sequences))
        read = acts[torch.from_numpy(row_of[sequence]).to(acts.device), torch.from_numpy(position).to(acts.device)]
        return target_of(side.sae, read)


class FitPass(L.LightningModule):
    """Sums the moments of both streams over a text."""

    def __init__(self, reader: PairedReader, seed: int) -> None:
        super().__init__()
        self.reader, self.seed = reader, seed
        self.in_sample = torch.from_numpy(random_units(reader.text, N_SAMPLE, seed))
        a, b = reader.sides
        self.moments = StreamedMoments(a.d_out, b.d_out)

    def test_step(self, batch: TokenBatch, batch_idx: int) -> None:
        x, y, units = self.reader(batch)
        for side, stream in zip(self.reader.sides, (x, y), strict=True):
            check_finite(stream, side)
        order = np.random.default_rng([self.seed, batch_idx]).permutation(len(x))
        in_sample = self.in_sample[units].to(x.device)
        self.moments.update(x, y, in_sample, torch.from_numpy(order).to(x.device))

    def on_test_epoch_end(self) -> None:
        *moments, xy_shuffled, x, y = (each.cpu() for each in self.moments.compute())
        true = PairedMoments(*moments)
        shuffled = true._replace(xy=xy_shuffled)
        ridge, broken, rotation, penalties = {}, {}, {}, {}
        for direction, pair, other, sample in (
            ("a_to_b", true, shuffled, (x, y)),
            ("b_to_a", true.reverse(), shuffled.reverse(), (y, x)),
        ):
            principal = principal_moments(pair)
            penalties[direction] = best_penalty(principal, *sample)
            ridge[direction] = ridge_map(principal, penalties[direction])
            broken[direction] = ridge_map(principal_moments(other), penalties[direction])
            rotation[direction] = rotation_map(pair)
        self.maps = FittedMaps(ridge, rotation, broken, penalties, int(true.n))


class MeasurePass(L.LightningModule):
    """Measures maps, and dictionaries carried through them, on text that the maps were not fitted on."""

    def __init__(self, reader: PairedReader, maps: FittedMaps) -> None:
        super().__init__()
        self.reader, self.maps = reader, maps
        self.saes: Mapping[str, Any] = nn.ModuleDict({side.label: side.sae for side in reader.sides})  # type: ignore[assignment]
        width = {side.label: side.d_out for side in reader.sides}
        explained: dict[str, ExplainedVariance] = {}
        for here, there in ("ab", "ba"):
            for name in ("explained_variance", "shuffled", "rotation"):
                explained[f"{here}_to_{there}/{name}"] = ExplainedVariance(width[there])
            for name in ("round_trip", "rotation_round_trip"):
                explained[f"{here}_to_{there}/{name}"] = ExplainedVariance(width[here])
            for name in ("raw", "mapped", "own", "ceiling"):
                if name != "raw" or width["a"] == width["b"]:
                    explained[f"{here}_on_{there}/{name}"] = ExplainedVariance(width[there])
        self.explained: Mapping[str, ExplainedVariance] = nn.ModuleDict(explained)  # type: ignore[assignment]
        self.abroad: Mapping[str, FeatureCorrelation] = nn.ModuleDict(  # type: ignore[assignment]
            {f"{side.label}_on_{'ba'['ab'.index(side.label)]}": FeatureCorrelation(side.d_sae) for side in reader.sides}
        )

    def on_test_start(self) -> None:
        self.maps = self.maps.to(self.device)

    def test_step(self, batch: TokenBatch, batch_idx: int) -> None:
        x, y, _ = self.reader(batch)
        for some in range(0, len(x), TOKENS_PER_ENCODING):
            part = slice(some, some + TOKENS_PER_ENCODING)
            self._measure({"a": x[part], "b": y[part]})

    def on_test_epoch_end(self) -> None:
        self.measured = {name: metric.compute() for name, metric in self.explained.items()}
        self.of_features = {name: metric.compute() for name, metric in self.abroad.items()}

    def _measure(self, streams: Mapping[str, Tensor]) -> None:
        home = {label: encoded(sae, streams[label]) for label, sae in self.saes.items()}
        own = {label: reconstruction_of(sae, streams[label], home[label]) for label, sae in self.saes.items()}
        for here, there in ("ab", "ba"):
            x, y = streams[here], streams[there]
            out, back = f"{here}_to_{there}", f"{there}_to_{here}"
            ridge, rotation, shuffled = self.maps.ridge, self.maps.rotation, self.maps.shuffled
            for maps, name in ((ridge, "explained_variance"), (shuffled, "shuffled"), (rotation, "rotation")):
                self.explained[f"{out}/{name}"].update(y, maps[out](x))
            for maps, name in ((ridge, "round_trip"), (rotation, "rotation_round_trip")):
                self.explained[f"{out}/{name}"].update(x, maps[back](maps[out](x)))
            visitor, through = self.saes[here], ridge[back](y)
            abroad = encoded(visitor, through)
            carried = {
                "own": own[there],
                "mapped": ridge[out](reconstruction_of(visitor, through, abroad)),
                "ceiling": ridge[out](through),
            }
            if f"{here}_on_{there}/raw" in self.explained:
                carried["raw"] = reconstructed(visitor, y)
            for name, reconstruction in carried.items():
                self.explained[f"{here}_on_{there}/{name}"].update(y, reconstruction)
            self.abroad[f"{here}_on_{there}"].update(home[here], abroad)


def carried_dictionaries(visitor: Any, host: Any, to_host: AffineMap, to_visitor: AffineMap) -> dict[str, Any]:
    """What becomes of the host's stream, by the dictionary that it goes through.

    Returns:
        `own`: the host's own SAE; `mapped`: mapped to the visitor's stream, through the visitor's SAE, and mapped back;
        `ceiling`: there and back without an SAE; `raw`: the visitor's SAE as it is, where the widths agree.
    """

    def mapped(y: Tensor) -> Tensor:
        return to_host(reconstructed(visitor, to_visitor(y)))

    carried = {
        "own": lambda y: reconstructed(host, y),
        "mapped": mapped,
        "ceiling": lambda y: to_host(to_visitor(y)),
    }
    same_width = visitor.cfg.d_in == host.cfg.d_in
    return carried | ({"raw": lambda y: reconstructed(visitor, y)} if same_width else {})


def encoded(sae: Any, stream: Float[Tensor, "n d"]) -> Float[Tensor, "n d_sae"]:
    """Feature activations, in the SAE's precision."""
    acts: Tensor = sae.encode(stream.to(sae.W_dec.device, sae.W_dec.dtype))
    return acts


def reconstructed(sae: Any, stream: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """What an SAE makes of a stream."""
    stream = stream.to(sae.W_dec.device, sae.W_dec.dtype)
    return reconstruction_of(sae, stream, sae.encode(stream))


def run_pass(trainer: L.Trainer, module: Any, text: TokenisedCorpus, batch_size: int) -> None:
    """Run a pass over a text, whose sequences the ranks share."""
    try:
        with quiet_libraries():
            trainer.test(module, TokenDataModule([text.sequences["a"]], batch_size), verbose=False)
    finally:
        module._modules.clear()  # trainer and module refer to each other, and would keep the models of earlier jobs


def _load(side: OpenSide, need_head: bool) -> tuple[ResidualStream, bool]:
    try:
        return side.model.load(side.settings.dtype, with_head=True), True
    except (InvalidArgument, OSError):
        if need_head:
            raise
        return side.model.load(side.settings.dtype), False
