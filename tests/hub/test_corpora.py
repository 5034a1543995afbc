"""Data sets streamed from the hub."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

PYTHIA = "experiment=pythia_70m_vs_160m"


@pytest.fixture(scope="module")
def subsets(hub):
    """A data set of two subsets, whose text stands in another column."""
    folder = hub.root / "datasets/some/subsets"
    for name, word in (("first", "dog"), ("second", "cat")):
        (folder / name).mkdir(parents=True)
        texts = [f"The {word} ran to house number {n}." for n in range(40)]
        pq.write_table(pa.table({"story": [*texts, None, " "], "n": range(42)}), folder / name / "train-0.parquet")
    configs = "".join(f"- config_name: {name}\n  data_files: {name}/*.parquet\n" for name in ("first", "second"))
    (folder / "README.md").write_text(f"---\nconfigs:\n{configs}---\n")
    return "some/subsets"


def tokens(client, *overrides):
    return client.compare(PYTHIA, *overrides)["record"]["corpus"]["tokens_sha256"]


def test_the_seed_decides_which_documents_are_read(client):
    seeds = [tokens(client, f"data.shuffle_seed={seed}", "metrics=[rsa]") for seed in (0, 1, "null")]
    assert len(set(seeds)) == 3


def test_documents_are_downloaded_once_and_more_of_them_when_needed(hub, client, subsets):
    from_subset = (f"data.path={subsets}", "data.subset=first", "data.column=story", "metrics=[rsa]")
    before = tokens(client, *from_subset, "data.n_sequences=8")
    hub.requests.clear()
    assert tokens(client, *from_subset, "data.n_sequences=8") == before
    assert not [request for request in hub.requests if subsets in request]
    assert tokens(client, *from_subset, "data.n_sequences=40") != before
    record = client.compare(PYTHIA, *from_subset, "data.n_sequences=50")["record"]
    assert record["corpus"]["n_sequences"] == 40  # documents without text are left out


def test_half_a_line_of_a_killed_process_does_no_harm(client, home, subsets):
    from_subset = (f"data.path={subsets}", "data.subset=second", "data.column=story", "data.shuffle_seed=7")
    few, more = (tokens(client, *from_subset, f"data.n_sequences={n}") for n in (8, 40))
    [kept] = [
        file for file in (home / "cache/analogue/texts").glob("some--subsets-*.jsonl") if "cat" in file.read_text()
    ]
    lines = kept.read_text().splitlines(keepends=True)
    kept.write_text("".join(lines[:10]) + lines[10][:7])
    assert tokens(client, *from_subset, "data.n_sequences=8") == few
    assert tokens(client, *from_subset, "data.n_sequences=40") == more
    assert kept.read_text() == "".join(lines)


def test_a_subset_is_chosen_by_name(client, subsets):
    first, second = (
        tokens(client, f"data.path={subsets}", f"data.subset={name}", "data.column=story")
        for name in ("first", "second")
    )
    assert first != second
    answer = client.compare(PYTHIA, f"data.path={subsets}", "data.column=story")
    assert answer["kind"] == "UserError"
    assert "'first', 'second'" in answer["error"]


def write_one_column(hub, name, column):
    folder = hub.root / f"datasets/some/{name}"
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"text": column}), folder / "train-0.parquet")
    return f"data.path=some/{name}"


@pytest.mark.parametrize(
    ("name", "column", "told"),
    [
        ("numbers", [1, 2], "holds int in its column 'text'"),
        ("lists", [["a"], ["b"]], "holds list in its column 'text'"),
        ("blank", ["", None, " "], "holds no text in its column 'text'"),
    ],
)
def test_a_data_set_without_text_is_one_sentence(hub, client, name, column, told):
    answer = client.compare(PYTHIA, write_one_column(hub, name, column))
    assert answer["kind"] == "UserError", answer
    assert answer["error"].startswith(f"data.path=some/{name}: {told}")


def test_a_damaged_data_set_is_one_sentence(hub, client):
    folder = hub.root / "datasets/some/damaged"
    folder.mkdir(parents=True)
    (folder / "train.jsonl").write_text('{"text": "one"}\n{"text": ')
    answer = client.compare(PYTHIA, "data.path=some/damaged")
    assert answer["kind"] == "UserError", answer
    assert answer["error"].startswith("data.path=some/damaged: ")
    assert "\n" not in answer["error"]


def test_a_small_data_set_is_read_to_its_end_without_a_network(hub, client, offline):
    few = write_one_column(hub, "few", [f"The dog ran to house number {n}." for n in range(9)])
    online = tokens(client, few, "data.n_sequences=50", "data.shuffle_seed=3")
    assert tokens(offline, few, "data.n_sequences=50", "data.shuffle_seed=3") == online
