"""Damaged JSONL files: every document is read as it stands there, or the file is refused with the line's number."""

import json
import random

import pytest

from analogue.corpus import read_texts, tokenise
from analogue.errors import InvalidArgument, Unavailable
from analogue.models import open_model

N_MUTATIONS = 500
TEXTS = [
    "Once upon a time there was a dog.",
    "It's caf\u00e9, \u65e5\u672c\u8a9e and \U0001f642.",
    "two\nlines\r\nand a\ttab",
    "line separators \u2028 and \u2029, \x85 and \x0b",
    '{"text": "JSON in JSON"}',
    'quotes " and \\ and \x00 and \ufeff within',
    "  spaces around  ",
    "a" * 3000,
]
VALUES = [
    None,
    True,
    7,
    1.5,
    -0.0,
    10**30,
    [],
    ["a"],
    [{"role": "user", "content": "x"}],
    {},
    {"text": "x"},
    "",
    " ",
    "x",
]
RAW = [
    *("NaN", "Infinity", "1e999", '"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\ude42"', "[" * 3000 + "]" * 3000),
    *('{"a":' * 2000, "{", '"', "nul", "", "'x'", '"\\x41"', "1" * 5000, '"a\x07b"'),
]


def lines():
    return [
        json.dumps({"id": n, "text": text, "more": {"a": [n]}}, ensure_ascii=n % 2 == 0) for n, text in enumerate(TEXTS)
    ]


def mutated(rng):
    """The bytes of a file with one change, and the number of the line that it is in."""
    whole, at = lines(), rng.randrange(len(TEXTS))
    record = json.loads(whole[at])
    kind = rng.choice(
        ["value"] * 3 + ["raw"] * 3 + ["gone", "renamed", "twice", "cut", "flip", "flip", "joined", "mark"]
    )
    ending = rng.choice(["\n", "\r\n", "\n\n"])
    if kind == "value":
        whole[at] = json.dumps(record | {"text": rng.choice(VALUES)})
    elif kind == "raw":
        whole[at] = json.dumps(record | {rng.choice(["text", "more"]): "HERE"}).replace('"HERE"', rng.choice(RAW))
    elif kind in ("gone", "renamed"):
        text = record.pop("text")
        whole[at] = json.dumps(record | ({"Text": text} if kind == "renamed" else {}))
    elif kind == "twice":
        whole[at] = whole[at][:-1] + ', "text": "the later one counts"}'
    elif kind == "joined":
        whole[at] += whole[at]
    content = ending.join(whole).encode()
    if kind == "mark":
        content = rng.choice([b"\xef\xbb\xbf", b"\xff\xfe", b"\x00"]) + content
    elif kind in ("cut", "flip"):
        place = rng.randrange(len(content))
        flipped = bytes([content[place] ^ 1 << rng.randrange(8)])
        content = content[:place] if kind == "cut" else content[:place] + flipped + content[place + 1 :]
    return content


def expected(content):
    """The texts, by Python's own JSON and nothing else; None for a file that cannot be read."""
    try:
        records = [
            json.loads(line)
            for line in content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n").split("\n")
            if line.strip()
        ]
        texts = [record["text"] for record in records]
        assert all(isinstance(text, str | None) for text in texts)
        "".join(text or "" for text in texts).encode()
    except (ValueError, KeyError, TypeError, RecursionError, AssertionError):
        return None
    return [text for text in texts if text and text.strip()] or None


@pytest.fixture(scope="module")
def tokenizer():
    return open_model("embedded:stories-6").tokenizer


def test_a_mutated_file_is_read_as_it_stands_or_refused_by_its_line(tmp_path, tokenizer):
    rng, refused = random.Random(0), 0
    for number in range(N_MUTATIONS):
        content = mutated(rng)
        (tmp_path / "texts.jsonl").write_bytes(content)
        try:
            found = [*read_texts(tmp_path / "texts.jsonl")]
        except (Unavailable, InvalidArgument) as error:
            assert expected(content) is None, (number, content)
            said = str(error)
            assert said.startswith("path="), said
            assert "\n" not in said
            assert len(said) < 400, said
            refused += 1
        else:
            assert found == expected(content), (number, content)
            tokens = tokenise(found, tokenizer, n_sequences=100, seq_len=20, packing=True)
            assert tokens.mask.any()
    assert 150 < refused < 400
