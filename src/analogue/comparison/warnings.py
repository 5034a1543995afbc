"""What a user should hear of a comparison that was made: reasons to doubt its inputs or its scores."""

from analogue.comparison.activations import CONSPICUOUS, Collected
from analogue.comparison.corpus import TokenisedCorpus
from analogue.comparison.sides import OpenSide
from analogue.models import same_weights
from analogue.options import DecoderRows
from analogue.results import SideRecord
from analogue.saes import SUSPECTS, misfit_warnings
from analogue.settings import Corpus
from analogue.significance import PairEvidence, SimilarityResult

_EQUAL_NORMS = 1.01  # norms up to this ratio are equal to every metric's printed digits
_FEW_SEQUENCES = 10
_FEW_TOKENS = 200


def comparison_warnings(
    sides: tuple[OpenSide, OpenSide],
    corpus: Corpus,
    tokenised: TokenisedCorpus,
    collected: Collected,
    decoder_rows: str,
    records: list[SideRecord],
    evidence: PairEvidence | None,
    similarity: list[SimilarityResult],
) -> list[str]:
    """All warnings of a comparison, a sentence each; arguments that they mention stand in backticks."""
    return [
        *(warning for side in sides for warning in side.warnings),
        *_sameness_warnings(*sides),
        *_left_out_warnings(corpus, sides),
        *_outlier_warnings(corpus, sides, collected),
        *_norm_warnings(decoder_rows, records),
        *_evidence_warnings(evidence),
        *_score_warnings(corpus, tokenised, similarity),
        *_misfit_warnings(corpus, sides, collected, records),
    ]


def _sameness_warnings(a: OpenSide, b: OpenSide) -> list[str]:
    """Warnings where both sides have the same weights under two names, so that their agreement says nothing."""
    warnings = []
    names = [side.model.name for side in (a, b)]
    revisions = [side.model.revision for side in (a, b)]
    is_named_alike = names[0] == names[1] and revisions[0] == revisions[1]
    are_redrawn_alike = a.model.randomize == b.model.randomize and a.model.randomize_seed == b.model.randomize_seed
    if not is_named_alike and are_redrawn_alike and same_weights(a.model.source, b.model.source, revisions):
        shown = [f"{name} {revision}" if revision else name for name, revision in zip(names, revisions, strict=True)]
        warnings.append(f"models a and b have the same weights, under two names: {shown[0]} and {shown[1]}")
    if a.sae_name != b.sae_name and a.sae_fingerprint == b.sae_fingerprint:
        warnings.append(f"SAEs a and b have the same weights, under two names: {a.sae_name} and {b.sae_name}")
    return warnings


def _left_out_warnings(corpus: Corpus, sides: tuple[OpenSide, OpenSide]) -> list[str]:
    """Tokens that an SAE was trained without, and that count here."""
    warnings = []
    for side in sides:
        metadata = side.sae.cfg.metadata
        if metadata.get("exclude_bos") and not corpus.exclude_bos:
            fix = "`exclude_bos`=true leaves them out"
            warnings.append(f"SAE {side.label} was trained without the first tokens of texts, which count here; {fix}")
        if metadata.get("exclude_special_tokens") and not corpus.exclude_special:
            fix = "`exclude_special`=true leaves them out"
            warnings.append(f"SAE {side.label} was trained without special tokens, which count here; {fix}")
        if (multiple := _trained_within(side)) is not None and corpus.exclude_outliers is None:
            problem = f"SAE {side.label} was trained without tokens of huge norms, which count here where there are any"
            warnings.append(f"{problem}; `exclude_outliers`={multiple:g} leaves them out")
    return warnings


def _outlier_warnings(corpus: Corpus, sides: tuple[OpenSide, OpenSide], collected: Collected) -> list[str]:
    """Tokens with norms far above the rest that count here."""
    warnings = []
    for side in sides:
        if n := _n_outliers(corpus, side, collected):
            where = f"{side.model.hook} of layer {side.layer} of {side.model.name}"
            n_tokens = collected.activations[side.label].activations.n_tokens
            problem = f"{n} of {n_tokens} tokens have more than {CONSPICUOUS} times the median norm"
            fix = f"`exclude_outliers`={CONSPICUOUS} leaves such tokens out"
            without = f", and SAE {side.label} was trained without such" if _trained_within(side) is not None else ""
            warnings.append(f"{problem} in {where}{without}, and they may decide every statistic; {fix}")
    return list(dict.fromkeys(warnings))


def _trained_within(side: OpenSide) -> float | None:
    """The multiple of the median norm above which tokens were left out when the SAE was trained; None for no limit."""
    return side.sae.cfg.metadata.get("exclude_outliers")


def _n_outliers(corpus: Corpus, side: OpenSide, collected: Collected) -> int:
    """Tokens with norms far above the rest that count."""
    return collected.activations[side.label].facts.get("n_outliers", 0) if corpus.exclude_outliers is None else 0


def _norm_warnings(decoder_rows: str, records: list[SideRecord]) -> list[str]:
    if decoder_rows == DecoderRows.unit:
        return []
    warnings = []
    for side, norms in zip("ab", (record.decoder_norms for record in records), strict=True):
        if norms is not None and norms["highest"] > _EQUAL_NORMS * norms["lowest"]:
            spread = f"decoder rows of SAE {side} have norms from {norms['lowest']:.3g} to {norms['highest']:.3g}"
            warnings.append(f"{spread}, which the scores depend on and the SAE's function does not")
    return warnings


def _evidence_warnings(evidence: PairEvidence | None) -> list[str]:
    if evidence is None:
        return []
    if evidence.n_null == 0:
        return ["one sequence of text cannot be permuted, so that no pair has a p-value; compare several"]
    warnings = []
    if evidence.n_sequences < _FEW_SEQUENCES:
        few = f"{evidence.n_sequences} sequences have few permutations"
        warnings.append(f"{few}: a pair found on them has weak evidence at best, and draws are not pooled")
    if evidence.a.n_positional or evidence.b.n_positional:
        positional = f"{evidence.a.n_positional} of A's features and {evidence.b.n_positional} of B's"
        warnings.append(
            f"{positional} follow the position in the sequence, which permuted sequences keep: "
            "they cannot tell what such features share"
        )
    return warnings


def _score_warnings(
    corpus: Corpus,
    tokenised: TokenisedCorpus,
    similarity: list[SimilarityResult],
) -> list[str]:
    of_scores = (f"{entry.metric}{_on(entry)}: {warning}" for entry in similarity for warning in entry.warnings)
    warnings = list(dict.fromkeys(of_scores))
    n_units = tokenised.n_units
    if n_units < _FEW_TOKENS:
        few = f"only {n_units} {'tokens' if tokenised.aligned is None else 'spans'} were compared"
        warnings.append(f"{few}, on which few features fire: raise `n_sequences` or `seq_len`")
    n_sequences = tokenised.sequences["a"].n_sequences
    if n_sequences < corpus.n_sequences:
        wanted = f"`n_sequences`={corpus.n_sequences}"
        cut = "" if corpus.packing else ", a document each (`packing`=true strings documents together)"
        warnings.append(f"{wanted}, but {corpus.name} holds only {n_sequences} sequences{cut}; all were used")
    return warnings


def _misfit_warnings(
    corpus: Corpus, sides: tuple[OpenSide, OpenSide], collected: Collected, records: list[SideRecord]
) -> list[str]:
    """SAEs that explain little of what they read."""
    warnings = []
    for side, record in zip(sides, records, strict=True):
        if not side.is_trained:
            continue
        of_what = f"layer {side.layer} of {side.model.name}"
        reason, suspects = side.reason_to_explain_little, SUSPECTS
        huge = _n_outliers(corpus, side, collected) > 0
        suspects = f"the tokens of huge norms, or a {suspects}" if huge else suspects
        first_count = not (corpus.exclude_bos or huge)
        misfits = misfit_warnings(record.explained_variance, of_what, first_count, suspects, reason)
        warnings += [f"SAE {side.label} {warning}" for warning in misfits]
    return warnings


def _on(entry: SimilarityResult) -> str:
    return "" if entry.on == "decoder" else f" on {entry.on}"
