"""The text that maps are fitted on, and where in it both models are read together."""

from dataclasses import replace

import lightning as L
import numpy as np

from analogue.comparison.activations import without_outliers
from analogue.comparison.corpus import TokenisedCorpus, tokenise_corpus
from analogue.comparison.sides import OpenSide
from analogue.corpus import share_found_in
from analogue.errors import InvalidArgument, renamed_arguments
from analogue.options import Alignment
from analogue.settings import Cache, Corpus, Transfer

TOKENS_PER_DIMENSION = 2
"""Places in the text that a map needs for every dimension of the wider stream."""
SAME_TEXT = 0.05
"""Share of the text measured on from which on it counts as text that the maps were fitted on."""


def fit_text(
    transfer: Transfer,
    corpus: Corpus,
    measured: TokenisedCorpus,
    a: OpenSide,
    b: OpenSide,
    trainer: L.Trainer,
    cache: Cache | None,
) -> TokenisedCorpus:
    """The tokens that maps are fitted on, cut and counted as those that are measured on.

    Args:
        transfer: which text, and how much of it.
        corpus: what is compared on.
        measured: its tokens.
        a: opened side.
        b: opened side.
        trainer: of the pass that looks for outliers, where the corpus leaves them out.
        cache: of their norms.

    Raises:
        InvalidArgument: too few tokens for the streams' widths, or text that is measured on.
    """
    own = transfer.path is None
    n_before = corpus.n_sequences if own else 0
    asked = replace(corpus, path=corpus.path if transfer.path is None else transfer.path)
    asked = replace(asked, n_sequences=n_before + transfer.fit_sequences)
    alignment = Alignment.tokens if measured.aligned is None else Alignment.spans
    with renamed_arguments(corpus="corpus" if own else "transfer.path"):
        text = tokenise_corpus(asked, a, b, alignment, measured.aggregation).from_sequence(n_before)
        if corpus.exclude_outliers is not None and text.n_units:
            text, _ = without_outliers([a, b], text, corpus.exclude_outliers, trainer, cache, corpus.batch_size)
    _check_enough(text, transfer, corpus, max(a.d_out, b.d_out))
    _check_other_text(text, measured, transfer)
    return text


def check_can_be_mapped(side: OpenSide) -> None:
    """Raise `InvalidArgument` unless the side's dictionary reconstructs what it reads."""
    if side.writes is not None or side.sae.W_dec.shape[1] != side.sae.cfg.d_in:
        problem = "does not write to the stream that it reads; `transfer` needs SAEs, not transcoders or neurons"
        raise InvalidArgument(f"{side.label}.sae", side.sae_name, problem)


def _check_enough(text: TokenisedCorpus, transfer: Transfer, corpus: Corpus, width: int) -> None:
    needed = TOKENS_PER_DIMENSION * width
    if text.n_units >= needed:
        return
    units = "tokens" if text.aligned is None else "common spans"
    problem = f"leaves {text.n_units} {units} to fit maps on, and streams of width {width} need at least {needed}"
    if transfer.path is None:
        fix = f"give a longer text, fewer `n_sequences` than {corpus.n_sequences}, or another text as `transfer.path`"
        raise InvalidArgument("transfer.path", None, f"{corpus.name} {problem}; {fix}")
    name = replace(corpus, path=transfer.path).name
    raise InvalidArgument("transfer.path", name, f"{problem}; give a longer text or more `transfer.fit_sequences`")


def _check_other_text(text: TokenisedCorpus, measured: TokenisedCorpus, transfer: Transfer) -> None:
    share = share_found_in(measured.sequences["a"].flat_ids(), text.sequences["a"].flat_ids())
    if share > SAME_TEXT:
        where = "the text that maps are fitted on" if transfer.path is None else "it"
        problem = f"holds {share:.0%} of the text that is measured on in {where}; maps are fitted on other text"
        name = transfer.path if isinstance(transfer.path, str | None) else "<text>"
        raise InvalidArgument("transfer.path", name, f"{problem}: give another one, or leave it out")


def random_units(text: TokenisedCorpus, n: int, seed: int) -> np.ndarray:
    """Some of a text's units, drawn at random: a mask of (n_units,)."""
    chosen = np.zeros(text.n_units, dtype=bool)
    chosen[np.random.default_rng(seed).permutation(text.n_units)[:n]] = True
    return chosen
