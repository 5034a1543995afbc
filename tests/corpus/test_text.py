import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analogue.corpus import read_texts
from analogue.errors import ArgumentError, InvalidArgument, NotFound, Unavailable

DOCUMENTS = ["One day a dog ran.", "Line one\nline two."]


def test_every_format_gives_the_same_documents(tmp_path):
    (tmp_path / "a.txt").write_text("\n\n".join([DOCUMENTS[0], "  ", DOCUMENTS[1]]))
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n\n" for text in [*DOCUMENTS, "", None]))
    pq.write_table(pa.table({"text": [*DOCUMENTS, None]}), tmp_path / "a.parquet")
    for suffix in ("txt", "jsonl", "parquet"):
        assert read_texts(str(tmp_path / f"a.{suffix}")) == DOCUMENTS


@pytest.mark.parametrize("suffix", ["txt", "jsonl"])
def test_a_byte_order_mark_is_no_text(tmp_path, suffix):
    lines = [json.dumps({"text": text}) for text in DOCUMENTS] if suffix == "jsonl" else DOCUMENTS
    separator = "\n" if suffix == "jsonl" else "\n\n"
    (tmp_path / f"a.{suffix}").write_bytes(b"\xef\xbb\xbf" + separator.join(lines).encode())
    assert read_texts(str(tmp_path / f"a.{suffix}")) == DOCUMENTS


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("missing.txt", None, "is not a file"),
        ("a.csv", "x", "has the suffix '.csv'"),
        ("empty.txt", " \n\n \n", "holds no text"),
        ("broken.jsonl", '{"text": "x"}\n\n{not json', "line 3 is not JSON"),
        ("other.jsonl", '{"story": "x"}', "line 1 has story, where 'text' is needed (`column`)"),
        ("list.jsonl", "[1]", "line 1 is no object"),
        ("number.jsonl", '{"text": 3}', "line 1 holds no text under 'text'"),
        ("latin.txt", b"caf\xe9", "cannot be read"),
        ("damaged.parquet", "PAR1", "cannot be read"),
    ],
)
def test_bad_files_are_refused_in_one_sentence_naming_the_argument(tmp_path, name, content, told):
    if content is not None:
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ArgumentError, match=r"^path=") as error:
        read_texts(str(tmp_path / name))
    assert told in str(error.value)


def test_a_parquet_file_without_text_lists_its_columns(tmp_path):
    pq.write_table(pa.table({"story": ["x"], "n": [1]}), tmp_path / "a.parquet")
    with pytest.raises(Unavailable, match="story, n"):
        read_texts(str(tmp_path / "a.parquet"))


def test_a_parquet_column_of_numbers_is_no_text(tmp_path):
    pq.write_table(pa.table({"text": [1]}), tmp_path / "a.parquet")
    with pytest.raises(Unavailable, match="column 'text' holds no text"):
        read_texts(str(tmp_path / "a.parquet"))


def test_unknown_embedded_names_list_what_there_is():
    with pytest.raises(NotFound, match="embedded:stories-6"):
        read_texts("embedded:nothing.txt")


def test_the_text_may_stand_in_another_column(tmp_path):
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"story": text, "text": "no"}) + "\n" for text in DOCUMENTS))
    pq.write_table(pa.table({"story": DOCUMENTS, "text": ["no", "no"]}), tmp_path / "a.parquet")
    for suffix in ("jsonl", "parquet"):
        assert read_texts(str(tmp_path / f"a.{suffix}"), column="story") == DOCUMENTS


def test_line_separators_inside_a_text_do_not_cut_it(tmp_path):
    (tmp_path / "a.jsonl").write_text(json.dumps({"text": "one\u2028two\u0085three"}, ensure_ascii=False), "utf-8")
    assert read_texts(str(tmp_path / "a.jsonl")) == ["one\u2028two\u0085three"]


def test_documents_at_hand_are_read_as_they_are():
    assert read_texts([DOCUMENTS[0], " \n", "", DOCUMENTS[1]]) == DOCUMENTS
    assert read_texts(tuple(DOCUMENTS)) == DOCUMENTS


def test_a_path_object_names_a_file(tmp_path):
    (tmp_path / "a.txt").write_text("\n\n".join(DOCUMENTS))
    assert read_texts(tmp_path / "a.txt") == DOCUMENTS


@pytest.mark.parametrize(
    ("documents", "told"),
    [([], "path=[]: holds no text"), ([" "], "path=[]: holds no text"), ([*DOCUMENTS, 3], "documents>: holds int")],
)
def test_documents_that_are_no_text_are_refused(documents, told):
    with pytest.raises(InvalidArgument) as error:
        read_texts(documents)
    assert told in str(error.value)
