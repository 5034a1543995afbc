"""Which features belong to a concept, by the keywords among their top tokens (paper, section 3 and Appendix G)."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int64

from analogue.concepts.text import TokenText
from analogue.features import TopTokens


def keyword_matches(top: TopTokens, text: TokenText, keywords: Sequence[str]) -> Bool[np.ndarray, "n_keywords d_sae"]:
    """Which features have which keyword, as a whole word, among their top tokens.

    Args:
        top: top tokens of all features of one side (the paper: 5 a feature).
        text: the text that the positions of `top` refer to.
        keywords: see `TokenText.tokens_of`.

    Raises:
        ValueError: if a position is not in the text, or a keyword is empty.
    """
    if isinstance(keywords, str):
        raise ValueError(f"expected a sequence of keywords, got the string {keywords!r}")
    if top.positions.max(initial=-1) >= len(text):
        raise ValueError(f"expected positions in a text of {len(text)} tokens, got {top.positions.max()}")
    exists = top.positions >= 0
    matches = [(text.tokens_of(keyword)[top.positions] & exists).any(axis=1) for keyword in keywords]
    return np.array(matches, dtype=bool).reshape(len(keywords), len(top))


def keyword_counts(
    matches: Bool[np.ndarray, "n_keywords d_sae"], keywords: Sequence[str], features: Int64[np.ndarray, " n"]
) -> dict[str, int]:
    """How many of these features have each keyword, most first; keywords that none has are left out (Table 3).

    A keyword counts once for a feature, however many of its top tokens it is; a feature may have several keywords.
    """
    counts = matches[:, features].sum(axis=1)
    order = np.argsort(-counts, kind="stable")
    return {keywords[i]: int(counts[i]) for i in order.tolist() if counts[i] > 0}
