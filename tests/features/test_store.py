import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

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
def test_a_damaged_entry_counts_as_missing_with_a_warning(store, tmp_path, caplog, position):
    store.put("key", stored())
    path = tmp_path / "key.safetensors"
    content = bytearray(path.read_bytes())
    content[int(len(content) * position)] ^= 0xFF
    path.write_bytes(content)
    assert store.get("key") is None
    assert "damaged" in caplog.text


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
    for age, key in enumerate(["old", "used", "new"]):
        store.put(key, stored())
        os.utime(tmp_path / f"{key}.safetensors", (1000 + age, 1000 + age))
    store.get("old")
    size = (tmp_path / "old.safetensors").stat().st_size
    store.max_bytes = 3 * size
    store.put("another", stored())
    assert {path.stem for path in tmp_path.glob("*.safetensors")} == {"another", "old", "new"}


def test_keys_follow_their_content():
    assert content_key(layer=1, sae="x") == content_key(sae="x", layer=1) != content_key(layer=2, sae="x")


def test_two_processes_that_want_one_key_compute_it_once(tmp_path):
    program = textwrap.dedent("""
        import sys, time
        from tests.features.test_store import stored
        from analogue.features import ActivationStore
        store = ActivationStore(sys.argv[1], 1)
        with store.reserve(["b", "a"]):
            if store.get("a") is None:
                print("computed", flush=True)
                time.sleep(1)
                store.put("a", stored())
        assert store.get("a") is not None
    """)
    command = [sys.executable, "-c", program, str(tmp_path)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert "".join(outputs).count("computed") == 1
