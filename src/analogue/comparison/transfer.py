"""Can a feature of A be used in B? Maps, dictionaries abroad, mapped decoder rows and interventions.

transfer_text.py    the text that maps are fitted on
transfer_passes.py  two Lightning passes: moments -> maps, and what they explain
interventions.py    features added and removed in both models
transfer_record.py  what was found, as records and columns
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import lightning as L
import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from analogue.comparison.corpus import TokenisedCorpus
from analogue.comparison.interventions import (
    NO_FEATURE,
    ChosenPairs,
    Laboratory,
    ablation_effects,
    steering_effects,
)
from analogue.comparison.sides import OpenSide, same_tokenizer
from analogue.comparison.transfer_passes import (
    FitPass,
    FittedMaps,
    MeasurePass,
    PairedReader,
    SideModels,
    carried_dictionaries,
    run_pass,
)
from analogue.comparison.transfer_record import (
    Record,
    effect_columns,
    feature_record,
    finite,
    hard_record,
    map_records,
    mean_of,
    row_columns,
    summarised,
)
from analogue.concepts import FeatureSpace
from analogue.corpus import token_strings
from analogue.errors import InvalidArgument
from analogue.features import FeatureActivations
from analogue.matching import FeaturePairs
from analogue.models import loss_of_text, recovered
from analogue.settings import Transfer
from analogue.transfer import (
    MappedRows,
    hard_negatives,
    score_mapped_rows,
)

MOST_HARD = 20  # hard negatives of a pair that are looked at
FEWEST_COMMON_TOKENS = 1000
FEW_TOKENS_PER_DIMENSION = 20  # with fewer, maps explain some 0.04 less than the same maps of many tokens


@dataclass(frozen=True, eq=False)
class Transferred:
    """What was found of the use of features in the other model.

    Attributes:
        record: `transfer` of the comparison's record.
        table: a row per kept pair.
        warnings: reasons to doubt it, a sentence each.
    """

    record: Record
    table: pa.Table
    warnings: list[str]


@dataclass(frozen=True, eq=False)
class Carried:
    """Maps between the streams, what they carry over, and the models that they belong to.

    Attributes:
        explained: explained variances by `a_to_b/round_trip`, `a_on_b/mapped`, ...; empty unless asked for.
        of_features: shares and correlations of features abroad, by `a_on_b`, `b_on_a`.
        vocabulary: tokens whose log-probabilities are compared, by side; empty unless asked for.
        n_fit: sequences that the maps were fitted on.
    """

    maps: FittedMaps
    models: SideModels
    explained: Mapping[str, float]
    of_features: Mapping[str, Mapping[str, float]]
    vocabulary: dict[str, Int64[Tensor, " n_common"]]
    n_fit: int


def carry_over(
    transfer: Transfer,
    fit: TokenisedCorpus,
    measured: TokenisedCorpus,
    sides: tuple[OpenSide, OpenSide],
    trainer: L.Trainer,
    batch_size: int,
    seed: int,
) -> Carried:
    """Fit maps between the streams, and measure what they carry over; all ranks must call this.

    Raises:
        InvalidArgument: activations that are not finite; to intervene, a model without a head, or vocabularies that
            share too little.
    """
    vocabulary = common_vocabulary(*sides) if transfer.has_interventions else {}
    models = SideModels(sides, need_head=transfer.has_interventions)
    fitting = FitPass(PairedReader(sides, models, fit), seed)
    run_pass(trainer, fitting, fit, batch_size)
    explained, of_features = {}, {}
    if transfer.has_maps:
        measuring = MeasurePass(PairedReader(sides, models, measured), fitting.maps)
        run_pass(trainer, measuring, measured, batch_size)
        explained, of_features = measuring.measured, measuring.of_features
    return Carried(fitting.maps, models, explained, of_features, vocabulary, fit.sequences["a"].n_sequences)


def transferred(
    transfer: Transfer,
    carried: Carried,
    measured: TokenisedCorpus,
    sides: tuple[OpenSide, OpenSide],
    pairs: FeaturePairs,
    spaces: tuple[FeatureSpace, FeatureSpace],
    acts: Mapping[str, FeatureActivations],
    device: torch.device,
    seed: int,
    progress: bool,
) -> Transferred:
    """What maps, dictionaries, decoder rows and interventions say of the kept pairs.

    Args:
        transfer: what is asked for.
        carried: maps and models.
        measured: the text that is compared on.
        sides: of a and b.
        pairs: of which the kept ones count.
        spaces: of a and b, on the units of that text.
        acts: activations of both sides on their own tokens.
        device: of the models.
        seed: of all draws.
        progress: whether to show progress bars.

    Raises:
        InvalidArgument: interventions are asked for, and fewer than two pairs are kept.
    """
    kept = pairs.kept_pairs()
    hard = _hard_negatives(kept, spaces[1])
    record: Record = {"parts": str(transfer.parts), "fit": _fit_record(transfer, carried)}
    columns: dict[str, Any] = {
        "feature_a": kept.feature_a,
        "feature_b": kept.feature_b,
        "correlation": kept.correlation,
    }
    carried.models.to(device)
    for side in sides:
        side.sae.to(device)
    if transfer.has_maps:
        rows = _mapped_rows(carried.maps, sides, kept, spaces[1], hard)
        shuffled = _shuffled_cosine(carried.maps, sides, kept, seed)
        record |= map_records(carried.explained)
        record["dictionaries"] = _dictionary_records(transfer, carried, measured, sides)
        record["features_abroad"] = {name: finite(each) for name, each in carried.of_features.items()}
        record["features"] = feature_record(rows, shuffled)
        record["hard_negatives"] = {"features": hard_record(rows)}
        columns |= row_columns(rows)
    if transfer.has_interventions:
        places, chosen = _chosen(kept, hard, transfer.n_pairs, seed)
        by_label = {side.label: side for side in sides}
        to_b = carried.maps.ridge["a_to_b"]
        lab = Laboratory(by_label, carried.models, measured, dict(acts), to_b, carried.vocabulary, chosen, seed)
        record["interventions"] = {"n_pairs": len(chosen)}
        for name, measure in (("steering", steering_effects), ("ablation", ablation_effects)):
            effects = measure(lab, transfer, progress)
            doses = transfer.doses if name == "steering" else (1.0,)
            found = summarised(effects, doses, seed)
            record["interventions"][name] = {arm: found.records[arm] for arm in ("partner", "mapped")}
            record.setdefault("controls", {})[name] = {"random": found.records["random"]}
            record.setdefault("hard_negatives", {})[name] = found.hard
            if name == "steering":
                record["doses"] = found.curve
            columns |= effect_columns(name, found, places, len(kept))
    table = pa.table({name: pa.array(each, from_pandas=True) for name, each in columns.items()})
    return Transferred(record, table, _fit_warnings(carried.maps.n_tokens, max(side.d_out for side in sides)))


def common_vocabulary(a: OpenSide, b: OpenSide) -> dict[str, Int64[Tensor, " n_common"]]:
    """The tokens of both sides whose log-probabilities are compared: the same place holds the same text.

    Raises:
        InvalidArgument: too few texts are tokens of both.
    """
    if same_tokenizer(a, b):
        shared = torch.arange(min(a.model.vocab_size, b.model.vocab_size, len(a.model.tokenizer)))
        return {"a": shared, "b": shared}
    texts = {}
    for side in (a, b):
        n_tokens = min(side.model.vocab_size, len(side.model.tokenizer))
        texts[side.label] = {text: i for i, text in token_strings(side.model.tokenizer, range(n_tokens)).items()}
    common = sorted(texts["a"].keys() & texts["b"].keys())
    if len(common) < FEWEST_COMMON_TOKENS:
        problem = f"shares {len(common)} tokens with {a.model.name} (`a.model`); interventions compare the predictions"
        fix = "choose `transfer`=maps"
        raise InvalidArgument("b.model", b.model.name, f"{problem} of at least {FEWEST_COMMON_TOKENS}: {fix}")
    return {label: torch.tensor([of_side[text] for text in common]) for label, of_side in texts.items()}


def check_pairs(transfer: Transfer, n_kept: int) -> None:
    """Raise `InvalidArgument` where there are too few pairs to intervene on."""
    if transfer.has_interventions and n_kept < 2:
        problem = f"needs at least 2 pairs, and the filters keep {n_kept}"
        fix = "let them keep more, or choose maps"
        raise InvalidArgument("transfer", transfer.parts, f"{problem}; {fix}")


def _fit_warnings(n_tokens: int, width: int) -> list[str]:
    enough = FEW_TOKENS_PER_DIMENSION * width
    if n_tokens >= enough:
        return []
    problem = f"maps between the streams were fitted on {n_tokens:,} tokens, {n_tokens / width:.0f} per dimension"
    return [f"{problem}, and explain less than they could; let `transfer.fit_sequences` hold {enough:,} tokens"]


def _fit_record(transfer: Transfer, carried: Carried) -> Record:
    path = "corpus" if transfer.path is None else transfer.path if isinstance(transfer.path, str) else "texts"
    found = {"path": str(path), "n_sequences": carried.n_fit, "n_tokens": carried.maps.n_tokens}
    return found | {"penalty": carried.maps.penalties}


def _dictionary_records(
    transfer: Transfer, carried: Carried, measured: TokenisedCorpus, sides: tuple[OpenSide, OpenSide]
) -> Record:
    records = {}
    for visitor, host in (sides, sides[::-1]):
        name = f"{visitor.label}_on_{host.label}"
        explained = {each: carried.explained.get(f"{name}/{each}") for each in ("raw", "mapped", "own", "ceiling")}
        losses = _losses_recovered(transfer, carried, measured, visitor, host)
        records[name] = finite(explained) | {"cross_entropy_recovered": losses}
    return records


@torch.no_grad()
def _losses_recovered(
    transfer: Transfer, carried: Carried, measured: TokenisedCorpus, visitor: OpenSide, host: OpenSide
) -> Record | None:
    """Cross-entropy recovered in the host by each dictionary; None where its model has no head."""
    if not carried.models.has_head[host.label]:
        return None
    stream, tokens = carried.models[host.label], measured.sequences[host.label]
    device = next(stream.parameters()).device
    arrays = (tokens.ids, tokens.mask, tokens.counted)
    ids, mask, counted = (torch.from_numpy(each[: transfer.loss_sequences]) for each in arrays)
    loss = partial(loss_of_text, stream, host.layer, ids, mask, counted)
    there, back = (f"{one}_to_{other}" for one, other in ((visitor.label, host.label), (host.label, visitor.label)))
    maps = carried.maps.ridge
    carried_through = carried_dictionaries(visitor.sae, host.sae, maps[there].to(device), maps[back].to(device))
    of_model, of_zero = loss(), loss(torch.zeros_like)
    found = {name: recovered(of_model, loss(each), of_zero) for name, each in carried_through.items()}
    return finite({name: found.get(name) for name in ("raw", "mapped", "own", "ceiling")})


def _hard_negatives(kept: FeaturePairs, b: FeatureSpace) -> list[Int64[np.ndarray, " n_hard"]]:
    count = b.acts.n_active()
    return [hard_negatives(int(feature), count, b.top.strings)[:MOST_HARD] for feature in kept.feature_b]


def _mapped(maps: FittedMaps, sides: tuple[OpenSide, OpenSide], kept: FeaturePairs) -> Float64[np.ndarray, "n d_b"]:
    """A's decoder rows of the kept pairs in B's stream."""
    rows: np.ndarray = sides[0].decoder[kept.feature_a].astype(np.float64) @ maps.ridge["a_to_b"].weight.numpy()
    return rows


def _mapped_rows(
    maps: FittedMaps,
    sides: tuple[OpenSide, OpenSide],
    kept: FeaturePairs,
    b: FeatureSpace,
    hard: list[Int64[np.ndarray, " n_hard"]],
) -> MappedRows:
    live = b.acts.n_active() > 0
    return score_mapped_rows(_mapped(maps, sides, kept), kept.feature_b, sides[1].decoder, live, hard)


def _shuffled_cosine(maps: FittedMaps, sides: tuple[OpenSide, OpenSide], kept: FeaturePairs, seed: int) -> float:
    """Mean cosine of mapped rows with the partners of other pairs, shuffled once."""
    partner = np.random.default_rng(seed).permutation(kept.feature_b)
    none = [np.empty(0, dtype=np.int64)] * len(kept)
    live = np.zeros(sides[1].d_sae, dtype=bool)
    return mean_of(score_mapped_rows(_mapped(maps, sides, kept), partner, sides[1].decoder, live, none).cosine)


def _chosen(
    kept: FeaturePairs, hard: list[Int64[np.ndarray, " n_hard"]], n_pairs: int, seed: int
) -> tuple[Int64[np.ndarray, " n"], ChosenPairs]:
    """Kept pairs, drawn at random, in their order: their places among all kept pairs, and their features."""
    places = np.sort(np.random.default_rng(seed).permutation(len(kept))[:n_pairs])
    first = np.array([hard[i][0] if len(hard[i]) else NO_FEATURE for i in places])
    return places, ChosenPairs(kept.feature_a[places], kept.feature_b[places], first)
