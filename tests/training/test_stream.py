"""What training reads: every token, well mixed, and the same whoever asks and wherever it begins."""

import os

import pytest
import torch

from analogue.errors import AnalogueWarning
from analogue.models import open_model
from analogue.training.source import ModelSource, store_activations
from analogue.training.stream import ActivationStream, MixingPlan


@pytest.fixture(scope="module")
def model():
    return open_model("embedded:stories-6").load(with_head=True)


def ids_and_mask(n=24, seq_len=20):
    generator = torch.Generator().manual_seed(3)
    lengths = torch.randint(5, seq_len + 1, (n,), generator=generator)
    ids = torch.randint(1, 3000, (n, seq_len), generator=generator)
    return ids, torch.arange(seq_len) < lengths[:, None]


def stream_of(model, layers=(1, 3), n_batches=20, source=None, start=0, seed=0):
    ids, mask = ids_and_mask()
    source = source or ModelSource(model, ids, mask, mask, list(layers))
    plan = MixingPlan(source.lengths, batch_tokens=16, buffer_tokens=100, sequences_per_pass=4, seed=seed)
    stream = ActivationStream(plan, source, list(layers), n_batches)
    stream.start = start
    return stream


def counting(tokens_by_sequence):
    """Serves the number of each token for its activations."""
    starts = torch.cumsum(tokens_by_sequence, 0) - tokens_by_sequence

    def read(sequences):
        numbers = [starts[i] + torch.arange(int(tokens_by_sequence[i])) for i in sequences]
        return {0: torch.cat(numbers).double()[:, None]}

    return read


def test_every_token_comes_once_a_reading_of_the_corpus_and_in_another_order_each_time():
    lengths = torch.randint(3, 9, (40,), generator=torch.Generator().manual_seed(0))
    n_tokens = int(lengths.sum())
    plan = MixingPlan(lengths, batch_tokens=4, buffer_tokens=32, sequences_per_pass=3, seed=1)
    n_batches = 3 * n_tokens // 4
    seen = torch.cat([batch[0] for batch in ActivationStream(plan, counting(lengths), [0], n_batches)]).squeeze(1)
    counts = torch.bincount(seen.long(), minlength=n_tokens)
    assert counts.max() <= 4  # the last pass of the third reading may be cut off, and another begun before
    assert counts.min() >= 2
    assert (counts == 3).float().mean() > 0.9
    assert not torch.equal(seen[:n_tokens], seen[n_tokens : 2 * n_tokens])
    neighbours = (seen[1:] - seen[:-1]).abs() == 1
    assert neighbours.float().mean() < 0.1


@pytest.mark.parametrize("n_batches", [1, 2, 3, 10, 17, 40])
@pytest.mark.parametrize("buffer_tokens", [0, 32, 200, 10_000])
def test_no_more_is_read_than_is_served(n_batches, buffer_tokens):
    lengths = torch.randint(3, 9, (40,), generator=torch.Generator().manual_seed(0))
    plan = MixingPlan(lengths, batch_tokens=4, buffer_tokens=buffer_tokens, sequences_per_pass=3, seed=1)
    n_read = []

    def source(sequences):
        n_read.append(int(lengths[sequences].sum()))
        return counting(lengths)(sequences)

    batches = list(ActivationStream(plan, source, [0], n_batches))
    assert [len(batch[0]) for batch in batches] == [4] * n_batches
    assert 0 <= sum(n_read) - 4 * n_batches < n_read[-1]  # without the last pass, it would not have sufficed


def test_a_stream_begun_in_the_middle_goes_on_bit_for_bit(model):
    whole = list(stream_of(model))
    for start in (0, 1, 5, 7, 13, 19):
        rest = list(stream_of(model, start=start))
        assert len(rest) == 20 - start
        for found, expected in zip(rest, whole[start:], strict=True):
            assert all(torch.equal(found[layer], expected[layer]) for layer in (1, 3))


def test_activations_do_not_depend_on_the_layers_beside(model):
    both, alone = list(stream_of(model, layers=(1, 5))), list(stream_of(model, layers=(1,)))
    assert all(torch.equal(one[1], other[1]) for one, other in zip(both, alone, strict=True))
    other_seed = list(stream_of(model, layers=(1,), seed=1))
    assert not torch.equal(alone[0][1], other_seed[0][1])


def test_activations_from_disk_are_those_of_the_model(model, tmp_path, monkeypatch):
    monkeypatch.setattr("analogue.training.source.SEQUENCES_PER_SHARD", 7)
    ids, mask = ids_and_mask()
    source = ModelSource(model, ids, mask, mask, [1, 3])
    stored = store_activations(source, tmp_path / "key", 16)
    for found, expected in zip(stream_of(model, source=stored), stream_of(model), strict=True):
        for layer in (1, 3):
            torch.testing.assert_close(found[layer], expected[layer], rtol=1e-4, atol=1e-4)
    assert len(list((tmp_path / "key").glob("shard_*.safetensors"))) == 4
    before = (tmp_path / "key").stat().st_mtime_ns
    store_activations(source, tmp_path / "key", 16)
    assert (tmp_path / "key").stat().st_mtime_ns == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["key", "key.lock"]


def flip(file):
    content = bytearray(file.read_bytes())
    content[-1000] ^= 1
    file.write_bytes(content)


DAMAGE = {
    "checksum of shard_00001": lambda folder: flip(folder / "shard_00001.safetensors"),
    "shard_00002.safetensors is missing": lambda folder: (folder / "shard_00002.safetensors").unlink(),
    "manifest.json cannot be read": lambda folder: (folder / "manifest.json").write_text("[]"),
    "it is the folder of other": lambda folder: (folder / "manifest.json").write_text('{"name": "other", "files": {}}'),
}


@pytest.mark.parametrize("reason", DAMAGE)
def test_a_damaged_folder_of_activations_is_computed_again(model, tmp_path, monkeypatch, reason):
    monkeypatch.setattr("analogue.training.source.SEQUENCES_PER_SHARD", 7)
    ids, mask = ids_and_mask()
    source = ModelSource(model, ids, mask, mask, [1, 3])
    store_activations(source, tmp_path / "key", 16)
    before = {file.name: file.read_bytes() for file in (tmp_path / "key").iterdir()}
    DAMAGE[reason](tmp_path / "key")
    with pytest.warns(AnalogueWarning, match=f"{reason}.*computed again"):
        store_activations(source, tmp_path / "key", 16)
    assert {file.name: file.read_bytes() for file in (tmp_path / "key").iterdir()} == before


def test_folders_of_activations_are_bounded_and_stay_readable(model, tmp_path, monkeypatch):
    monkeypatch.setattr("analogue.training.source.MOST_GB", 0)
    ids, mask = ids_and_mask()
    source = ModelSource(model, ids, mask, mask, [1, 3])
    first = store_activations(source, tmp_path / "first", 16)
    expected = first(torch.tensor([2, 0]))
    store_activations(source, tmp_path / "second", 16)
    assert not (tmp_path / "first").exists()
    assert (tmp_path / "second").is_dir()
    assert all(torch.equal(first(torch.tensor([2, 0]))[layer], expected[layer]) for layer in (1, 3))
    assert (tmp_path / "second" / "shard_00000.safetensors").stat().st_mode & 0o777 == 0o666 & ~umask()


def umask():
    os.umask(before := os.umask(0))
    return before
