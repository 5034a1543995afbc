import numpy as np
import pytest

from analogue.concepts import TokenText, keyword_counts, keyword_matches
from analogue.features import FeatureActivations, top_tokens

VOCABULARY = [" the", " king", " see", "king", " queen", "dom"]
#          the king see|king queen the king|dom
STREAM = [0, 1, 2, 3, 4, 0, 1, 5]
TEXT = TokenText(STREAM, VOCABULARY, [8])


def tops(k: int = 2):
    dense = np.zeros((8, 5))
    dense[[1, 4], 0] = 3, 2  # king, queen
    dense[3, 1] = 5  # the end of "seeking"
    dense[[6, 0], 2] = 2, 1  # the beginning of "kingdom"
    dense[[0, 5, 1], 3] = 3, 2, 1  # king comes third
    return top_tokens(FeatureActivations.from_dense(dense), np.array(STREAM), VOCABULARY, k)


def test_features_match_by_whole_words_among_their_top_tokens_alone():
    keywords = ["king", "queen", "seeking", "kingdom", "Caesar"]
    expected = [
        [True, False, False, False, False],
        [True, False, False, False, False],
        [False, True, False, False, False],
        [False, False, True, False, False],
        [False] * 5,
    ]
    assert keyword_matches(tops(), TEXT, keywords, fragments=True).tolist() == expected
    assert keyword_matches(tops(), TEXT, keywords).tolist() == [*expected[:2], *[[False] * 5] * 3]
    assert keyword_matches(tops(k=3), TEXT, ["king"]).tolist() == [[True, False, False, True, False]]
    assert keyword_matches(tops(), TEXT, []).shape == (0, 5)


def test_counts_are_of_features_most_first_without_zeros():
    keywords = ["queen", "king", "hat", "maid"]
    matches = np.array([[1, 0, 0, 1], [1, 1, 0, 1], [0, 0, 0, 0], [0, 0, 1, 1]], dtype=bool)
    assert keyword_counts(matches, keywords, np.array([0, 1, 2])) == {"king": 2, "queen": 1, "maid": 1}
    assert list(keyword_counts(matches, keywords, np.arange(4))) == ["king", "queen", "maid"]
    assert keyword_counts(matches, keywords, np.array([], dtype=np.int64)) == {}


def test_a_keyword_counts_once_for_a_feature():
    dense = np.zeros((3, 1))
    dense[:, 0] = 1, 2, 3
    text = TokenText([0, 0, 0], [" king"], [3])
    top = top_tokens(FeatureActivations.from_dense(dense), np.zeros(3, dtype=int), [" king"], 3)
    assert keyword_counts(keyword_matches(top, text, ["king"]), ["king"], np.array([0])) == {"king": 1}


def test_bad_input():
    with pytest.raises(ValueError, match="sequence of keywords, got the string 'king'"):
        keyword_matches(tops(), TEXT, "king")
    with pytest.raises(ValueError, match="text of 2 tokens, got 6"):
        keyword_matches(tops(), TokenText([0, 1], VOCABULARY, [2]), ["king"])
