"""No setting, copy or rename makes the store serve activations of another text, side or part of the corpus."""

import os
import shutil
import warnings
from dataclasses import replace

import lightning as L
import pytest

from analogue.comparison import collect_activations, open_side, tokenise_corpus
from analogue.errors import AnalogueWarning, InvalidArgument, UserError
from analogue.features import ActivationStore
from analogue.settings import STORIES, Cache, Side
from analogue.trainer import open_trainer, trainer_on

PARTIAL = ["+trainer.limit_test_batches=1", "+trainer.limit_test_batches=0.5", "+trainer.fast_dev_run=true"]
PARTIAL += ["+trainer.fast_dev_run=1", "+trainer.overfit_batches=1", "+trainer.overfit_batches=0.5"]


@pytest.mark.parametrize("setting", PARTIAL)
@pytest.mark.parametrize("warm", [False, True])
def test_a_pass_over_a_part_is_refused(compare, tmp_path, setting, warm):
    cache = f"cache.dir={tmp_path}/own"
    if warm:
        compare(cache)
    key = setting.removeprefix("+").partition("=")[0]
    with pytest.raises(UserError, match=rf"^{key}=\S+: would leave out a part of the text.*data\.n_sequences"):
        compare(cache, setting)
    if not warm:
        assert not [*tmp_path.glob("own/*.safetensors")]
        compare(cache)


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """Two sides, what they read, and a store that holds both."""
    sides = [
        open_side(Side("embedded:stories-6", layer, "embedded:stories-6-saes/layer_{layer}"), label)
        for label, layer in (("a", 2), ("b", 4))
    ]
    text = tokenise_corpus(replace(STORIES, n_sequences=6, seq_len=50), *sides)
    directory = tmp_path_factory.mktemp("store")
    collected = collect_activations(sides, text, cache=Cache(directory))
    return sides, text, directory, collected


@pytest.fixture
def store(filled, tmp_path):
    shutil.copytree(filled[2], tmp_path / "store")
    return tmp_path / "store"


def collected_again(filled, store):
    sides, text, _, before = filled
    again = collect_activations(sides, text, cache=Cache(store))
    for label in "ab":
        assert (again.activations[label].activations.values == before.activations[label].activations.values).all()
        assert again.activations[label].facts == before.activations[label].facts
    return again


def test_an_entry_under_anothers_name_is_not_served(filled, store):
    a, b = (store / f"{filled[3].keys[label]}.safetensors" for label in "ab")
    shutil.copy(b, a)
    with pytest.warns(AnalogueWarning, match=f"it is the entry of {b.stem}.*computed again"):
        assert collected_again(filled, store).from_cache == {"b"}


def test_swapped_entries_are_not_served(filled, store):
    a, b = (store / f"{filled[3].keys[label]}.safetensors" for label in "ab")
    a.rename(store / "x"), b.rename(a), (store / "x").rename(b)
    with pytest.warns(AnalogueWarning, match="it is the entry of"):
        assert not collected_again(filled, store).from_cache


def test_an_entry_of_a_part_of_the_text_is_not_served(filled, store):
    sides, text, _, before = filled
    part = replace(
        text,
        sequences={
            label: replace(each, ids=each.ids[:2], mask=each.mask[:2], counted=each.counted[:2])
            for label, each in text.sequences.items()
        },
    )
    of_part = collect_activations(sides, part, cache=None)
    key = before.keys["a"]
    ActivationStore(store, 1).put(key, of_part.activations["a"])
    with pytest.warns(
        AnalogueWarning, match=rf"{key} are of 100 tokens and 768 features, where 300 and 768 are wanted"
    ):
        assert collected_again(filled, store).from_cache == {"b"}


@pytest.mark.parametrize("suffix", ["safetensors", "lock"])
def test_a_pipe_in_place_of_an_entry_or_its_lock_does_not_hang(filled, store, suffix):
    entry = store / f"{filled[3].keys['a']}.safetensors"
    entry.unlink()
    entry.with_suffix(f".{suffix}").unlink(missing_ok=True)
    os.mkfifo(entry.with_suffix(f".{suffix}"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AnalogueWarning)
        assert collected_again(filled, store).from_cache == {"b"}


def test_more_machines_without_a_launcher_are_refused(monkeypatch):
    monkeypatch.delenv("NODE_RANK", raising=False)
    with pytest.raises(InvalidArgument, match=r"^trainer.num_nodes=2: needs a launcher"):
        open_trainer({"accelerator": "cpu", "devices": 1, "num_nodes": 2}, logger=False)


def test_a_pass_that_a_callback_ends_early_is_not_stored(filled, tmp_path):
    class Ends(L.Callback):
        def on_test_batch_start(self, trainer, module, batch, batch_idx, dataloader_idx=0):
            if batch_idx:
                raise StopIteration

    sides, text, *_ = filled
    trainer = trainer_on("cpu", progress=False, callbacks=[Ends()])
    with pytest.raises(InvalidArgument, match="ended after 100 of the 300 tokens that count"):
        collect_activations(sides, text, trainer, Cache(tmp_path / "own"), batch_size=2)
    assert not [*tmp_path.glob("own/*.safetensors")]
