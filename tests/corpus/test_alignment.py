import pytest
from transformers import AutoTokenizer

from analogue.corpus.aligned import NO_SPAN, common_pieces, encode
from analogue.embedded import ASSETS
from tests.corpus.other_tokenizers import byte_level, metaspace, word_piece

TEXTS = [
    "Once upon a time, there was a little dog.",
    "He said: café, 日本 🙂!",
    "A  b\n\nc",
    "The elephant-keeper sneezed.",
    " leading and trailing  ",
    "🙂🙃 日",
]
OTHERS = {
    "metaspace": metaspace,
    "metaspace with end": lambda: metaspace(eos=True),
    "byte level": byte_level,
    "trimmed": lambda: byte_level(trim_offsets=True),
    "word piece": word_piece,
}


@pytest.fixture(scope="module")
def ours():
    return AutoTokenizer.from_pretrained(ASSETS / "tokenizer")


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", OTHERS)
def test_pieces_are_the_text_and_hold_every_token_once_on_both_sides(ours, name, text):
    other = OTHERS[name]()
    pieces = list(common_pieces(text, ours, other))
    covered = "".join(piece.text for piece in pieces)
    assert text.startswith(covered)
    assert text[len(covered) :].strip() == ""  # what WordPiece does not read
    assert all(piece.text for piece in pieces)
    for side, tokenizer in (("tokens_a", ours), ("tokens_b", other)):
        held = [token for piece in pieces for token, _ in getattr(piece, side)]
        ids = tokenizer(text)["input_ids"]
        assert held == (ids if covered == text else ids[: len(held)])
        assert all(any(reads for _, reads in getattr(piece, side)) for piece in pieces)


def test_pieces_are_the_finest_of_which_each_decodes_to_its_text_on_both_sides(ours):
    other = byte_level()
    for text in TEXTS:
        pieces = list(common_pieces(text, ours, other))
        for piece in pieces:
            assert ours.decode([token for token, _ in piece.tokens_a]) == piece.text
            assert other.decode([token for token, _ in piece.tokens_b]) == piece.text
        prefixes = [
            {tokenizer.decode(ids[:n]) for n in range(1, len(ids) + 1)}
            for tokenizer in (ours, other)
            for ids in [tokenizer(text)["input_ids"]]
        ]
        common = {prefix for prefix in prefixes[0] & prefixes[1] if text.startswith(prefix)}
        assert len(pieces) == len(common)


def test_a_character_that_is_cut_by_one_side_only_is_one_piece(ours):
    pieces = list(common_pieces("日 a", ours, metaspace()))
    assert [piece.text for piece in pieces] == ["日", " a"]
    assert [reads for _, reads in pieces[0].tokens_b] == [False, True, True, True, True]  # <bos>, a space, three bytes


def test_tokens_that_share_a_character_have_no_boundary_between_them():
    """A vocabulary with an entry of one character and a half."""
    tokenizer = byte_level(["é日"] * 5, vocabulary_size=258)
    ids, ends = encode("é日", tokenizer)
    assert len(ids) < len("é日".encode())
    assert set(ends.tolist()) <= {1, 2}
    assert ends[-1] == 2


def test_leading_spaces_belong_to_the_word_whatever_a_tokenizer_says_of_them(ours):
    for other in (metaspace(), byte_level(trim_offsets=True), word_piece()):
        texts = [piece.text for piece in common_pieces("the little dog", ours, other)]
        assert "".join(texts) == "the little dog"
        assert not any(text.endswith(" ") for text in texts)
        assert texts[-1] in (" dog", "g")


def test_special_tokens_read_no_characters(ours):
    ids, ends = encode("dog", metaspace(eos=True))
    assert (ends[0], ends[-1]) == (NO_SPAN, NO_SPAN)
    (*_, last) = common_pieces("dog", ours, metaspace(eos=True))
    assert last.tokens_b[-1] == (1, False)
    assert ids[-1] == 1


def test_no_text_and_no_common_boundary_give_no_piece(ours):
    assert list(common_pieces("", ours, metaspace())) == []
