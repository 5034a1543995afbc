"""Which features belong to a concept: those with one of its keywords among their top tokens (paper, section 3)."""

import re
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Int, Int64

from analogue.features import FRAGMENT, TopTokens

_LETTER = "x"  # for a byte of a character that is cut into several tokens, most of which are letters
_BOUNDARY = "\n"


class TokenText:
    """The text of sequences of tokens, in lower case, and the position of each token in it.

    The text on both sides of a token, within its sequence, decides whether the token is a word, or part of one.

    Args:
        token_ids: (n_tokens,) the tokens of all sequences, in reading order, without padding.
        vocabulary: the string of each token id, leading space included.
        sequence_lengths: (n_sequences,) tokens in each sequence.

    Raises:
        ValueError: if the lengths do not sum to the number of tokens.

    Example:
        >>> text = TokenText([0, 1, 2, 1], [" see", "king", " a "], [2, 2])
        >>> text.tokens_of("king").tolist()
        [False, False, False, True]
        >>> text.tokens_of("seeking").tolist()
        [False, False, False, False]
        >>> text.tokens_of("seeking", fragments=True).tolist()
        [True, True, False, False]
    """

    def __init__(
        self,
        token_ids: Int[np.ndarray, " n_tokens"] | Sequence[int],
        vocabulary: Sequence[str] | Mapping[int, str],
        sequence_lengths: Int[np.ndarray, " n_sequences"] | Sequence[int],
    ) -> None:
        ids, sequence_lengths = np.asarray(token_ids).tolist(), np.asarray(sequence_lengths, dtype=np.int64)
        if sequence_lengths.sum() != len(ids):
            raise ValueError(f"expected sequences of {len(ids)} tokens in all, got {sequence_lengths.sum()}")
        lower = {token: FRAGMENT.sub(_LETTER, vocabulary[token]).lower() for token in set(ids)}
        pieces = [lower[token] for token in ids]
        firsts = np.cumsum(sequence_lengths) - sequence_lengths
        self._text = _BOUNDARY.join(
            "".join(pieces[first : first + length]) for first, length in zip(firsts, sequence_lengths, strict=True)
        )
        lengths = np.array([len(piece) for piece in pieces], dtype=np.int64)
        n_boundaries_before = np.repeat(np.arange(len(sequence_lengths)), sequence_lengths)
        self._ends: Int64[np.ndarray, " n_tokens"] = np.cumsum(lengths) + n_boundaries_before * len(_BOUNDARY)
        self._starts = self._ends - lengths

    def __len__(self) -> int:
        """Number of tokens."""
        return len(self._ends)

    def tokens_of(
        self, keyword: str, fragments: bool = False, split_at_spaces: bool = False
    ) -> Bool[np.ndarray, " n_tokens"]:
        """Which tokens hold the keyword as a whole word, whatever its case.

        A letter, digit or underscore next to it makes it part of a longer word, which does not count. A token counts if
        it holds the whole word; of a keyword of several words, such as "new york", one of them.

        Args:
            keyword: one or several words.
            fragments: also count tokens that hold only a part of the word: " ant", "ig" and "en" of "antigen". Such a
                token is in many other words, and its features are seldom features of the keyword.
            split_at_spaces: let anything but white space next to the keyword make it part of a longer word, as in the
                paper's published code, so a keyword before a full stop or beside a quotation mark is not found.

        Raises:
            ValueError: if the keyword is empty.
        """
        keyword = keyword.strip().lower()
        if not keyword:
            raise ValueError("expected a keyword, got none but white space")
        # A pattern that begins with letters is found much faster than one that begins with a look-behind.
        within = r"\S" if split_at_spaces else r"\w"
        found = (match.span() for match in re.finditer(re.escape(keyword) + f"(?!{within})", self._text))
        spans = [span for span in found if not re.match(within, self._text[max(span[0] - 1, 0) : span[0]])]
        if not fragments:
            return self._holding(keyword, [start for start, _ in spans])
        starts, ends = np.array(spans, dtype=np.int64).reshape(-1, 2).T
        change = np.zeros(len(self) + 1, dtype=np.int64)
        np.add.at(change, np.searchsorted(self._ends, starts, side="right"), 1)
        np.add.at(change, np.searchsorted(self._starts, ends, side="left"), -1)
        return np.cumsum(change[:-1]) > 0

    def _holding(self, keyword: str, starts: Sequence[int]) -> Bool[np.ndarray, " n_tokens"]:
        """Which tokens hold a whole word of the keyword, where it occurs."""
        holds = np.zeros(len(self), dtype=bool)
        words = [word.span() for word in re.finditer(r"\w+", keyword)] or [(0, len(keyword))]
        for first, last in words:
            begins = np.array(starts, dtype=np.int64) + first
            token = np.searchsorted(self._ends, begins, side="right")
            holds[token[self._ends[token] >= begins + (last - first)]] = True
        return holds


def keyword_matches(
    top: TopTokens,
    text: TokenText,
    keywords: Sequence[str],
    fragments: bool = False,
    split_at_spaces: bool = False,
) -> Bool[np.ndarray, "n_keywords d_sae"]:
    """Which features have which keyword, as a whole word, among their top tokens.

    Args:
        top: top tokens of all features of one side (the paper: 5 per feature).
        text: the text that the positions of `top` refer to.
        keywords: see `TokenText.tokens_of`.
        fragments: whether a part of a keyword counts, see there.
        split_at_spaces: whether words end at white space alone, see there.

    Raises:
        ValueError: if a position is not in the text, or a keyword is empty.
    """
    if isinstance(keywords, str):
        raise ValueError(f"expected a sequence of keywords, got the string {keywords!r}")
    if top.positions.max(initial=-1) >= len(text):
        raise ValueError(f"expected positions in a text of {len(text)} tokens, got {top.positions.max()}")
    exists = top.positions >= 0
    of_keyword = (text.tokens_of(keyword, fragments, split_at_spaces) for keyword in keywords)
    matches = [(tokens[top.positions] & exists).any(axis=1) for tokens in of_keyword]
    return np.array(matches, dtype=bool).reshape(len(keywords), len(top))


def keyword_counts(
    matches: Bool[np.ndarray, "n_keywords d_sae"], keywords: Sequence[str], features: Int64[np.ndarray, " n"]
) -> dict[str, int]:
    """How many of these features have each keyword, most first; keywords that no feature has are left out (Table 3).

    A keyword counts once per feature, even if several top tokens are that keyword; a feature may have several keywords.
    """
    counts = matches[:, features].sum(axis=1)
    order = np.argsort(-counts, kind="stable")
    return {keywords[i]: int(counts[i]) for i in order.tolist() if counts[i] > 0}
