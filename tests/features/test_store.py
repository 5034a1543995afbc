import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from analogue.errors import AnalogueWarning
from analogue.features import ActivationStore, FeatureActivations, StoredActivations, content_key


def stored(seed=0, n_tokens=40):
    rng = np.random.default_rng(seed)
    dense = rng.random((n_tokens, 9)) * (rng.random((n_tokens, 9)) < 0.3)
    return StoredActivations(FeatureActivations.from_dense(dense), {"explained_variance": 0.9})


@pytest.fixture
def store(tmp_path):
    return ActivationStore(tmp_path, max_gb=1)


def test_what_is_put_comes_back(store):
    entry = stored()
    assert store.get("key") is None
    store.put("key", entry)
    back = store.get("key")
    assert back.facts == entry.facts
    for name in ("indptr", "indices", "values"):
        np.testing.assert_array_equal(getattr(back.activations, name), getattr(entry.activations, name))


def test_empty_activations_can_be_stored(store):
    store.put("key", StoredActivations(FeatureActivations.from_dense(np.zeros((3, 4))), {}))
    assert store.get("key").activations.shape == (3, 4)


@pytest.mark.parametrize("position", [0.1, 0.5, 0.99])
def test_a_damaged_entry_counts_as_missing_with_a_warning(store, tmp_path, position):
    store.put("key", stored())
    path = tmp_path / "key.safetensors"
    content = bytearray(path.read_bytes())
    content[int(len(content) * position)] ^= 0xFF
    path.write_bytes(content)
    with pytest.warns(AnalogueWarning, match=r"key.safetensors are damaged .* computed again"):
        assert store.get("key") is None


@pytest.mark.parametrize("bit", [0x01, 0x04, 0x80])
def test_no_bit_of_an_entry_changes_unnoticed(store, tmp_path, bit):
    store.put("key", stored())
    path = tmp_path / "key.safetensors"
    content = path.read_bytes()
    for position in range(len(content)):
        damaged = bytearray(content)
        damaged[position] ^= bit
        path.write_bytes(damaged)
        assert store.get("key") is None, position


def test_files_of_others_count_as_missing(store, tmp_path):
    path = tmp_path / "key.safetensors"
    for content in (b"", b"x", bytes(100)):
        path.write_bytes(content)
        assert store.get("key") is None
    save_file({name: np.zeros(1) for name in ("indptr", "indices", "values")}, path)
    assert store.get("key") is None


def test_a_damaged_entry_can_be_replaced(store, tmp_path):
    store.put("key", stored(0))
    (tmp_path / "key.safetensors").write_bytes(b"damaged")
    assert store.get("key") is None
    store.put("key", stored(1))
    np.testing.assert_array_equal(store.get("key").activations.values, stored(1).activations.values)


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="needs Linux's list of mapped files")
def test_an_entry_is_memory_mapped_and_outlives_its_file(store, tmp_path):
    store.put("key", stored())
    back = store.get("key")
    assert str(tmp_path / "key.safetensors") in Path("/proc/self/maps").read_text()
    (tmp_path / "key.safetensors").unlink()
    store.put("key", stored(1))
    np.testing.assert_array_equal(back.activations.values, stored().activations.values)


def test_a_truncated_entry_counts_as_missing(store, tmp_path):
    store.put("key", stored())
    path = tmp_path / "key.safetensors"
    path.write_bytes(path.read_bytes()[:-20])
    assert store.get("key") is None


def test_nothing_but_entries_is_left_behind(store, tmp_path):
    store.put("key", stored())
    assert [path.name for path in tmp_path.iterdir()] == ["key.safetensors"]


def test_the_least_recently_used_entries_go_first(tmp_path):
    store = ActivationStore(tmp_path, max_gb=1)
    for age, key in enumerate(["old", "use", "new"]):
        store.put(key, stored())
        os.utime(tmp_path / f"{key}.safetensors", (1000 + age, 1000 + age))
    store.get("old")
    size = (tmp_path / "old.safetensors").stat().st_size
    store.max_bytes = 3 * size
    store.put("one", stored())
    assert {path.stem for path in tmp_path.glob("*.safetensors")} == {"one", "old", "new"}


def test_reserved_entries_stay_however_old(tmp_path):
    store = ActivationStore(tmp_path, max_gb=0)
    with store.reserve(["a", "b"]):
        store.put("a", stored())
        store.put("b", stored())
        assert store.get("a") is not None  # a comparison's own side, of which there is more than max_gb
        store.put("c", stored())
    assert {path.stem for path in tmp_path.glob("*.safetensors")} == {"a", "b", "c"}
    store.put("d", stored())
    assert {path.stem for path in tmp_path.glob("*.safetensors")} == {"d"}


def test_an_entry_bigger_than_the_store_is_kept_until_the_next(tmp_path):
    store = ActivationStore(tmp_path, max_gb=0)
    for key in ("first", "second"):
        store.put(key, stored())
        assert [path.stem for path in tmp_path.glob("*.safetensors")] == [key]


def test_what_a_killed_process_left_goes_and_what_one_is_writing_stays(store, tmp_path):
    left, being_written = (tmp_path / f".key.{digit * 32}.tmp" for digit in "12")
    for path in (left, being_written):
        path.write_bytes(b"half")
    os.utime(left, (1000, 1000))
    store.put("key", stored())
    assert not left.exists()
    assert being_written.exists()


def test_keys_follow_their_content():
    assert content_key(layer=1, sae="x") == content_key(sae="x", layer=1) != content_key(layer=2, sae="x")


def start(program, *arguments):
    command = [sys.executable, "-c", PRELUDE + textwrap.dedent(program), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


PRELUDE = """
import itertools, logging, sys, time
from tests.features.test_store import stored
from analogue.features import ActivationStore
store = ActivationStore(sys.argv[1], 1)
"""


def test_two_processes_that_want_one_key_compute_it_once(tmp_path):
    program = """
        with store.reserve(["b", "a"]):
            if store.get("a") is None:
                print("computed", flush=True)
                time.sleep(1)
                store.put("a", stored())
        assert store.get("a") is not None
    """
    processes = [start(program, tmp_path) for _ in range(2)]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert "".join(outputs).count("computed") == 1


def test_a_killed_process_leaves_no_lock_and_no_part_of_an_entry(store, tmp_path):
    program = """
        with store.reserve(["key"]):
            print("reserved", flush=True)
            for seed in itertools.count():
                store.put("key", stored(seed, 400))
    """
    process = start(program, tmp_path)
    assert process.stdout.readline() == "reserved\n"
    time.sleep(0.2)  # somewhere in a write
    process.kill()
    process.communicate()
    assert store.get("key") is not None
    reserved = threading.Event()

    def reserve():
        with store.reserve(["key"]):
            reserved.set()

    threading.Thread(target=reserve, daemon=True).start()
    assert reserved.wait(timeout=20)


def test_a_reader_never_meets_a_half_written_entry(store, tmp_path, recwarn):
    store.put("key", stored(0, 400))
    program = """
        end = time.monotonic() + 1.5
        for seed in itertools.takewhile(lambda _: time.monotonic() < end, itertools.count()):
            store.put("key", stored(seed, 400))
            store.put("another", stored(seed, 400))
    """
    process = start(program, tmp_path)
    n_read = 0
    while process.poll() is None:
        assert store.get("key") is not None
        n_read += 1
    process.communicate()
    assert process.returncode == 0
    assert n_read > 10
    assert not recwarn
