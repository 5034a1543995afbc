"""The residual streams themselves, compared without an SAE: the baseline that features must beat."""

from collections.abc import Sequence
from dataclasses import replace

import lightning as L
import numpy as np
from jaxtyping import Float32

from analogue.comparison.activations import collect_activations, read_by
from analogue.comparison.corpus import TokenisedCorpus
from analogue.comparison.scoring import draws_bar
from analogue.comparison.sides import OpenSide
from analogue.errors import InvalidArgument
from analogue.options import MetricsOn
from analogue.saes.bases import IDENTITY, raw_basis
from analogue.settings import Cache, Null
from analogue.significance import SimilarityResult, sample_tokens, score_streams
from analogue.similarity import Metric

# Numbers held of both streams together: 256 MB in float64, and as much again while they are collected.
_NUMBERS = 2**25
_TOKENS = 2**14


def check_streams(metrics_on: Sequence[str], corpus: TokenisedCorpus) -> None:
    """Raise `InvalidArgument` where residual streams are to be compared that are not on the same tokens."""
    if MetricsOn.residual in metrics_on and corpus.aligned is not None:
        problem = "compares residual streams token by token, and these models cut text into different tokens"
        raise InvalidArgument("metrics_on", [*map(str, metrics_on)], f"{problem}; leave residual out")


def score_residual(
    sides: Sequence[OpenSide],
    corpus: TokenisedCorpus,
    trainer: L.Trainer,
    metrics: Sequence[Metric],
    null: Null,
    seed: int = 0,
    cache: Cache | None = None,
    batch_size: int = 10,
    progress: bool = False,
) -> tuple[list[SimilarityResult], int]:
    """Score what the two SAEs read, tokens as rows; see `score_streams`.

    Memory is bounded whatever the number of tokens: at most 16,384 are kept, fewer if both streams together are wider
    than 2,048. They are chosen before the model's pass, so that no others are held.

    Args:
        sides: the opened sides, A's first.
        corpus: what they read, the same tokens on both sides.
        trainer: a Lightning trainer, each rank of which gets all activations.
        metrics: to score with.
        null: how many draws.
        seed: of the draws, and of the choice of tokens.
        cache: see `collect_activations`.
        batch_size: sequences per forward pass.
        progress: whether to show a progress bar.

    Returns:
        The results, none on ranks other than 0, and how often a model went over the corpus.
    """
    widths = sum(side.sae.cfg.d_in for side in sides)
    sequences = corpus.sequences["a"]
    sample = sample_tokens(sequences.counted.sum(axis=1), min(_TOKENS, max(_NUMBERS // widths, 16)), seed)
    counted = np.zeros_like(sequences.counted)
    counted.ravel()[np.flatnonzero(sequences.counted)[sample.rows]] = True
    sampled = replace(corpus, sequences={label: replace(sequences, counted=counted) for label in corpus.sequences})
    bases = [read_by(side, raw_basis(IDENTITY, side.sae.cfg.d_in), IDENTITY) for side in sides]
    cache = cache and replace(cache, layers_a=(), layers_b=())
    collected = collect_activations(bases, sampled, trainer, cache, batch_size)
    if not trainer.is_global_zero:
        return [], collected.n_model_passes
    x, y = (_stream(collected.activations[label].activations.to_scipy().toarray()) for label in "ab")
    n_tokens = sequences.n_tokens
    with draws_bar(progress, f"residual streams on {len(x)} tokens against permuted sequences", null.n) as advance:
        found = score_streams(x, y, metrics, sample.lengths, null.n, seed, n_tokens, advance)
    return found, collected.n_model_passes


def _stream(acts: Float32[np.ndarray, "n_tokens 2*d"]) -> Float32[np.ndarray, "n_tokens d"]:
    """Coordinates from their positive and negative parts."""
    positive, negative = np.hsplit(acts, 2)
    return positive - negative
