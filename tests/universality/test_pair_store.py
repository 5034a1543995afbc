"""The kept partners of two spaces are those that were written under their key, or are found again."""

import os

import numpy as np
import pytest

from analogue.errors import AnalogueWarning
from analogue.settings import Clustering
from analogue.universality.links import Partners
from analogue.universality.pair_store import PairStore


def partners(seed, d_sae):
    rng = np.random.default_rng(seed)
    return Partners(rng.integers(-1, 9, d_sae), *(rng.normal(size=d_sae) for _ in range(4)))


@pytest.fixture
def kept(tmp_path):
    store = PairStore(tmp_path / "cache")
    key = store.key(("one", "other"), Clustering(), 0)
    store.put(key, (partners(0, 7), partners(1, 11)))
    return store, key, tmp_path / "cache" / f"{key}.safetensors"


def test_what_is_kept_comes_back_and_counts_as_used(kept):
    store, key, path = kept
    os.utime(path, (1000, 1000))
    for found, expected in zip(store.get(key), (partners(0, 7), partners(1, 11)), strict=True):
        for name, array in vars(expected).items():
            assert getattr(found, name).dtype == array.dtype
            np.testing.assert_array_equal(getattr(found, name), array)
    assert path.stat().st_mtime > 1000
    assert store.get(store.key(("one", "other"), Clustering(), 1)) is None
    assert PairStore(None).get(key) is None


@pytest.mark.filterwarnings("ignore::analogue.errors.AnalogueWarning")
def test_no_bit_changes_unnoticed(kept):
    store, key, path = kept
    content = path.read_bytes()
    for position in range(0, len(content), 3):
        damaged = bytearray(content)
        damaged[position] ^= 0x04
        path.write_bytes(damaged)
        assert store.get(key) is None, position


def test_an_entry_under_another_s_name_is_not_served(kept):
    store, key, path = kept
    other = store.key(("one", "third"), Clustering(), 0)
    path.rename(path.with_name(f"{other}.safetensors"))
    with pytest.warns(AnalogueWarning, match=f"damaged .it is the entry of {key}. and will be computed again"):
        assert store.get(other) is None


def test_a_disk_that_takes_nothing_costs_nothing(tmp_path):
    (tmp_path / "file").touch()
    store = PairStore(tmp_path / "file" / "cache")
    store.put("key", (partners(0, 7), partners(1, 11)))
    assert store.get("key") is None
