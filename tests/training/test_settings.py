"""The defaults of the library are those of the configuration, and what cannot work is refused under its own name."""

import inspect
from dataclasses import fields

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from analogue.cli.train_sae import plan_of, texts_of
from analogue.errors import InvalidArgument
from analogue.training import Buffer, Checkpoints, Evaluation, Optimiser, Text, train
from analogue.training.pipeline import HELD_OUT_STORIES, STORIES
from analogue.training.settings import ARCHITECTURES, default_settings, fused_adam

CHOSEN_BY_LENGTH = {"batch_tokens", "dead_after_tokens"}
OBJECTS = {"settings": "None", "optimiser": "None", "buffer": "None", "evaluation": "None"}
DEFAULTS = {name: each.default for name, each in inspect.signature(train).parameters.items()}


def test_defaults_are_those_of_the_configuration(compose_config):
    config = OmegaConf.to_object(compose_config("train_sae"))
    plan = plan_of(config)
    for name in {each.name for each in fields(plan)} - CHOSEN_BY_LENGTH - {"layers", *OBJECTS}:
        asked = getattr(plan, name)
        assert DEFAULTS[name] == (tuple(asked) if isinstance(asked, list) else asked), name
    for name in CHOSEN_BY_LENGTH:
        assert DEFAULTS[name] is getattr(config, name) is None
    assert plan.settings == default_settings(plan.architecture)
    assert plan.buffer == Buffer()
    assert plan.evaluation == Evaluation()
    for name in {each.name for each in fields(Optimiser)} - {"function"}:
        assert getattr(plan.optimiser, name) == getattr(Optimiser(), name)
    assert vars(config.checkpoints) == {
        name: value for name, value in vars(Checkpoints("x")).items() if name != "directory"
    }
    assert texts_of(config) == (STORIES, HELD_OUT_STORIES)
    assert DEFAULTS["held_out"] is None
    assert DEFAULTS["hook"] == config.model.hook.value
    assert Text("x").shuffle_seed == config.data.shuffle_seed


def test_the_optimiser_is_that_of_the_configuration(compose_config):
    weights = [torch.zeros(3, requires_grad=True)]
    configured = instantiate(compose_config("train_sae").optimiser.function)(weights, lr=0.1)
    made = Optimiser().function(weights, lr=0.1)
    assert type(made) is type(configured) is torch.optim.Adam
    assert made.defaults == configured.defaults
    assert Optimiser().function is fused_adam


@pytest.mark.parametrize("option", ["topk", "standard", "batchtopk", "gated", "jumprelu", "matryoshka"])
def test_settings_of_an_architecture_are_those_of_the_configuration(compose_config, option):
    sae = compose_config("train_sae", f"sae={option}").sae
    assert sae.architecture in ARCHITECTURES
    assert default_settings(sae.architecture) == OmegaConf.to_container(sae.settings)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Optimiser(learning_rate=0), "^learning_rate=0: must be above 0"),
        (lambda: Optimiser(decay_fraction=2), "^decay_fraction=2: must lie between 0 and 1"),
        (lambda: Optimiser(function=3), "^function=3: is not a function"),
        (lambda: Buffer(sequences_per_pass=0), "^sequences_per_pass=0: must be at least 1"),
        (lambda: Evaluation(n_sequences=0), "^n_sequences=0: must be at least 1"),
        (lambda: Checkpoints("x", keep=0), "^keep=0: must be at least 1"),
        (lambda: Checkpoints("x", every_minutes=0), "^every_minutes=0: must be above 0, and finite; or null"),
        (lambda: train("embedded:stories-6", []), "^layers=.*at least one"),
        (lambda: train("embedded:stories-6", 6), r"^layers=6: must be a list, such as \[3\]"),
        (lambda: train("embedded:stories-6", [3], seeds=1), r"^seeds=1: must be a list, such as \[0\]"),
        (lambda: train("embedded:stories-6", [3], n_tokens="x"), "^n_tokens='x': must be a whole number"),
        (lambda: train("embedded:stories-6", [3], optimiser=0.1), "^optimiser=0.1: must be an Optimiser, such as "),
        (lambda: train("embedded:stories-6", [3], evaluation=9), "^evaluation=9: must be an Evaluation, such as "),
        (lambda: train("embedded:stories-6", [3], buffer=9), "^buffer=9: must be a Buffer, such as "),
        (
            lambda: train("embedded:stories-6", [3], checkpoints="x"),
            "^checkpoints='x': must be a Checkpoints",
        ),
        (lambda: train("embedded:stories-6", [3], corpus=3), "^corpus=3: must be the path of a file"),
        (lambda: train("embedded:stories-6", [3], output_dir=3), "^output_dir=3: must be a path"),
        (lambda: train("embedded:stories-6", [6]), "^layers=6: embedded:stories-6 has blocks 0 to 5"),
        (lambda: train("embedded:stories-6", [3], n_tokens=10), "^n_tokens=10: is less than one batch"),
        (lambda: train("embedded:stories-6", [3], dtype="half"), "^dtype=half: is not a precision"),
        (lambda: train("embedded:stories-6", [3], settings={"k": 0}), "^settings.k=0: must lie between 1 and"),
        (lambda: train("embedded:stories-6", [3], seq_len=10**6), "^seq_len=1000000: embedded:stories-6"),
        (lambda: train("embedded:stories-6", [3], corpus=["a text"]), "^held_out=None: must be given with a `corpus`"),
        (lambda: train("embedded:stories-6", [3], device="abacus"), "^device=abacus: "),
    ],
)
def test_what_cannot_work_is_named_by_its_argument(make, message):
    with pytest.raises(InvalidArgument, match=message):
        make()
