"""Whole words, whatever tokens they are cut into."""

import numpy as np
import pytest

from analogue.concepts import TokenText


def tokens_of(keyword: str, *sequences: list[str], fragments: bool = True) -> list[str]:
    """The tokens that count as the keyword, or as a part of it, each as sequence.token."""
    stream = [piece for sequence in sequences for piece in sequence]
    vocabulary = sorted(set(stream))
    text = TokenText([vocabulary.index(piece) for piece in stream], vocabulary, [len(each) for each in sequences])
    places = [f"{s}.{t}" for s, sequence in enumerate(sequences) for t in range(len(sequence))]
    return [place for place, counts in zip(places, text.tokens_of(keyword, fragments), strict=True) if counts]


@pytest.mark.parametrize(
    ("keyword", "tokens", "expected"),
    [
        ("king", [" the", " king", " sat"], ["0.1"]),
        ("king", ["King", " sat"], ["0.0"]),
        ("KING", [" kIn", "g", "."], ["0.0", "0.1"]),
        ("king", [" see", "king", " the"], []),
        ("king", [" king", "dom", " come"], []),
        ("king", [" kings"], []),
        ("king", [" king", "'s", " crown"], ["0.0"]),
        ("king", ["“", "king", "”,", " he"], ["0.1"]),
        ("may", ["May", "be", " not"], []),
        ("may", [" it", " may", " be"], ["0.1"]),
        ("red", [" red", "u", "ced"], []),
        ("reduced", [" red", "u", "ced", " red"], ["0.0", "0.1", "0.2"]),
        ("red", [" r", "ed", " hat"], ["0.0", "0.1"]),
        ("red", [" R", "E", "D", "-", "hot"], ["0.0", "0.1", "0.2"]),
        ("day", [" 12", "day"], []),
        ("day", [" a", "_day"], []),
        ("sad", [" sad", "\n", "ness"], ["0.0"]),
        ("new york", [" New", " York", " is", " new"], ["0.0", "0.1"]),
        ("t-shirt", [" t", "-", "shirt", "."], ["0.0", "0.1", "0.2"]),
        ("day", [" day", " day", "day"], ["0.0"]),
        ("c++", [" c", "++", " code"], ["0.0", "0.1"]),
    ],
)
def test_the_neighbouring_text_decides(keyword: str, tokens: list[str], expected: list[str]) -> None:
    assert tokens_of(keyword, tokens) == expected


@pytest.mark.parametrize(
    ("keyword", "tokens", "expected"),
    [
        ("king", [" the", " King", " sat"], ["0.1"]),
        ("antigen", [" ant", "ig", "en"], []),
        ("king", [" kin", "g", "."], []),
        ("king", [" see", "king"], []),
        ("king", [" king", "dom"], []),
        ("king", ["“king”,", " he"], ["0.0"]),
        ("king", [" the king", "s"], []),
        ("new york", [" New", " York", " is", " new"], ["0.0", "0.1"]),
        ("new york", [" New", " Yo", "rk"], ["0.0"]),
        ("new york", [" in New York", " now"], ["0.0"]),
        ("t-shirt", [" t", "-", "shirt", "."], ["0.0", "0.2"]),
        ("c++", [" c", "++", " code"], ["0.0"]),
        ("++", [" c", "++", " code"], []),
        ("++", [" ", "++", " code"], ["0.1"]),
    ],
)
def test_a_token_counts_if_it_holds_a_whole_word(keyword: str, tokens: list[str], expected: list[str]) -> None:
    assert tokens_of(keyword, tokens, fragments=False) == expected


def test_a_word_ends_with_its_sequence() -> None:
    assert tokens_of("king", [" see", " a", "king"], ["dom", " king"]) == ["1.1"]
    assert tokens_of("king", [" a", " king"], ["dom"], ["king"]) == ["0.1", "2.0"]
    assert tokens_of("king", [" ki"], ["ng"]) == []


def test_fragments_of_characters_are_letters() -> None:
    assert tokens_of("king", [" the", " king", " <0xC3>", "<0xA9>"]) == ["0.1"]
    assert tokens_of("caf", [" caf", "<0xC3>", "<0xA9>"]) == []


def test_lower_case_may_change_the_length_of_a_token() -> None:
    assert tokens_of("king", ["İİİ", " king", " İ"]) == ["0.1"]


def test_no_text() -> None:
    assert TokenText([], [], []).tokens_of("king").tolist() == []
    assert TokenText([0], {0: "king"}, np.array([0, 1, 0])).tokens_of("king").tolist() == [True]


def test_bad_input() -> None:
    with pytest.raises(ValueError, match="sequences of 2 tokens in all, got 3"):
        TokenText([0, 0], ["a"], [1, 2])
    with pytest.raises(ValueError, match="got none but white space"):
        TokenText([0], ["a"], [1]).tokens_of("  ")


def test_words_split_at_spaces_do_not_end_at_punctuation() -> None:
    tokens = [" the", " king", ".", ' "', "king", '"', " king"]
    text = TokenText(range(7), tokens, [7])
    assert np.flatnonzero(text.tokens_of("king")).tolist() == [1, 4, 6]
    assert np.flatnonzero(text.tokens_of("king", split_at_spaces=True)).tolist() == [6]
    assert np.flatnonzero(text.tokens_of("the", split_at_spaces=True)).tolist() == [0]
