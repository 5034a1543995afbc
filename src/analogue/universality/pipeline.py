"""Many spaces, one step after the other: activations, partners of every two, clusters, and what these tell."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning as L
from rich.progress import Progress
from torch.random import fork_rng

from analogue.comparison.cache import store_directory
from analogue.comparison.pipeline import Stopwatch
from analogue.comparison.scoring import chosen_metrics
from analogue.errors import InvalidArgument, check_flag, check_kind, check_option, check_seed, shown
from analogue.options import Aggregation, Alignment, MetricName
from analogue.settings import STORIES, Cache, Clustering, Corpus, Null, Side
from analogue.similarity import Metric
from analogue.trainer import trainer_on
from analogue.universality.changes import changes
from analogue.universality.clusters import member_correlations, merged, pairs_of
from analogue.universality.links import links_of, partners_beyond_chance
from analogue.universality.pair_store import PairStore
from analogue.universality.result import Found, Universality, assemble
from analogue.universality.scores import between_spaces
from analogue.universality.spaces import ReadSpaces, read_spaces
from analogue.universality.spectrum import kinds, spectra_by_chance, spectrum
from analogue.universality.stability import Tests, stability

METRICS = (MetricName.svcca, MetricName.rsa)


@fork_rng(devices=[])  # data loaders draw from the caller's generator, which stays as it is
def universality(
    spaces: Sequence[Side],
    *,
    names: Sequence[str] | None = None,
    in_order: bool = False,
    corpus: Corpus | str | Path | Iterable[str] = STORIES,
    alignment: str = Alignment.tokens,
    aggregation: str = Aggregation.max,
    clustering: Clustering | None = None,
    metrics: Sequence[str | Metric] = METRICS,
    null: Null | None = None,
    seed: int = 0,
    cache: Cache | None = None,
    device: str = "auto",
    progress: bool = True,
    trainer: L.Trainer | None = None,
    config: Mapping[str, Any] | None = None,
) -> Universality | None:
    """Which features are in every space, in some, or in one alone.

    Nothing is written, printed or logged, except progress bars and, if a cache is given, activations and partners.

    Args:
        spaces: at least two.
        names: of the spaces; None to name each after its model and layer.
        in_order: whether the spaces have an order, like the layers or the checkpoints of a model. The result then says
            which features stay, split, merge, appear and disappear from each space to the next.
        corpus: text that all models read, as in `analogue.compare`.
        alignment: `tokens`, which all models must share, or `spans` of text that two tokenizers have in common.
        aggregation: how activations on the tokens of a span become its activation: `max`, `mean` or `last`.
        clustering: how features are put into clusters; None for `Clustering()`.
        metrics: of the decoder rows of linked features, for every two spaces.
        null: draws of the shuffles that these scores are compared with; None for `Null()`.
        seed: of everything that is drawn.
        cache: the store of activations, and of the partners of every two spaces; None to keep nothing.
        device: `auto`, `cpu` or `cuda`: of the model passes.
        progress: whether to show progress bars.
        trainer: a Lightning trainer to run the model passes on, in place of `device`.
        config: recorded as the settings; None for a description of these arguments.

    Returns:
        What was found; None on ranks of the trainer other than 0.

    Raises:
        ArgumentError: something that was given cannot work; `spaces.2.sae` is the SAE of the third space.

    Example:
        >>> layers = [Side("embedded:stories-6", i, "embedded:stories-6-saes/layer_{layer}") for i in (2, 3, 4)]
        >>> few = Clustering(n_draws=20, n_resamples=0, n_null=0)
        >>> corpus = Corpus(STORIES.path, packing=True, n_sequences=12, seq_len=64)
        >>> found = universality(layers, clustering=few, corpus=corpus, null=Null(n=9), progress=False)
        >>> [*found.record.n_clusters]
        ['2', '3']
    """
    corpus = corpus if isinstance(corpus, Corpus) else Corpus(corpus)
    clustering, null = clustering or Clustering(), null or Null()
    check_kind("clustering", clustering, Clustering, "n_draws=20")
    check_kind("null", null, Null, "n=100")
    check_option("alignment", alignment, Alignment)
    check_option("aggregation", aggregation, Aggregation)
    check_flag("in_order", in_order)
    check_seed("seed", seed)
    names = _checked_names(spaces, names)
    chosen = chosen_metrics(metrics, seed)
    watch = Stopwatch()
    trainer = trainer or trainer_on(device, progress)
    read = read_spaces(spaces, corpus, alignment, aggregation, trainer, cache)
    watch.lap("activations")
    if read is None:
        return None
    acts, lengths = read.activations, read.units.lengths

    tests = _tests(read, clustering, seed, PairStore(store_directory(cache) if cache is not None else None), progress)
    links = {(s, t): links_of(acts[s], acts[t], *test, clustering.q) for (s, t), test in tests.items()}
    watch.lap("pairs")
    clusters = merged(links, [each.d_sae for each in acts])
    correlations = member_correlations(clusters, acts)
    watch.lap("clusters")
    with _advance(progress, f"{len(clusters)} clusters on resampled sequences", clustering.n_resamples) as advance:
        firm = stability(clusters, acts, tests, lengths, clustering.n_resamples, seed, advance)
    watch.lap("stability")
    with _advance(progress, "the spectrum of permuted sequences", clustering.n_null) as advance:
        by_chance = spectra_by_chance(acts, tests, lengths, clustering.n_null, seed, advance)
    watch.lap("null")
    steps = []
    for s in range(len(acts) - 1) if in_order else ():
        steps.append(changes(acts[s], acts[s + 1], *tests[s, s + 1], links[s, s + 1], clustering.q))
    scores = between_spaces(read.sides, acts, read.units, links, chosen, null, seed, progress)
    watch.lap("scores")
    found = Found(
        clusters=clusters,
        correlations=correlations,
        stability=firm,
        spectrum=spectrum(clusters, acts),
        spectra_by_chance=by_chance,
        kinds=[kinds(clusters, tests, space, each) for space, each in enumerate(acts)],
        changes=steps,
        scores=scores,
    )
    config = config or {
        "spaces": [{name: str(value) for name, value in vars(space).items()} for space in spaces],
        "clustering": asdict(clustering),
        "null": {"n": null.n},
        "seed": seed,
    }
    return assemble(names, read, corpus, clustering, found, watch.laps, config)


def _tests(read: ReadSpaces, clustering: Clustering, seed: int, store: PairStore, progress: bool) -> Tests:
    """The partners of every two spaces, from the store where they are there."""
    keys, acts, tests = read.keys(), read.activations, {}
    pairs = pairs_of(len(acts))
    with _advance(progress, f"{len(pairs)} pairs of spaces against permuted sequences", len(pairs)) as advance:
        for number, (s, t) in enumerate(pairs):
            key = store.key((keys[s], keys[t]), clustering, seed)
            found = store.get(key)
            if found is None:
                found = partners_beyond_chance(
                    acts[s], acts[t], read.units.lengths, clustering.n_draws, seed, clustering.q
                )
                store.put(key, found)
            tests[s, t] = found
            advance(number + 1)
    return tests


def _checked_names(spaces: Sequence[Side], names: Sequence[str] | None) -> list[str]:
    if isinstance(spaces, Side) or not all(isinstance(space, Side) for space in spaces):
        raise InvalidArgument("spaces", shown(spaces), "must be a list, each an analogue.Side")
    if len(spaces) < 2:
        raise InvalidArgument("spaces", f"{len(spaces)} of them", "must be at least two, to have features in common")
    if names is None:
        own = [f"{_short(space.model)} layer {space.layer}" for space in spaces]
        names = [f"{name} {number}" if own.count(name) > 1 else name for number, name in enumerate(own)]
    if len(names) != len(spaces) or len(set(names)) < len(names):
        raise InvalidArgument("names", [*names], f"must name each of the {len(spaces)} spaces, none like another")
    return [*names]


def _short(model: Any) -> str:
    return Path(model).name.removeprefix("embedded:") if isinstance(model, str | Path) else type(model).__name__


@contextmanager
def _advance(shows: bool, title: str, total: int) -> Iterator[Any]:
    with Progress(disable=not (shows and total), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda done: bar.update(task, completed=done)
