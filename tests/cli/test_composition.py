"""What Hydra refuses, in one sentence."""

import pytest

from analogue.cli.composition import composition_error, typed
from analogue.cli.conf import COMPARE, TRAIN_SAE
from analogue.cli.schema import CompareConfig
from analogue.errors import UserError

PROGRAMS = {"compare": COMPARE, "train_sae": TRAIN_SAE}


@pytest.mark.parametrize(
    ("entry_point", "override", "told"),
    [
        ("compare", "layr_a=3", "layr_a is not a key; did you mean layer_a?"),
        ("compare", "data.sequences=3", "data.sequences is not a key; did you mean data.n_sequences?"),
        ("compare", "xyzzy=3", "xyzzy is not a key; --help lists them all"),
        ("train_sae", "sae.settings.kk=3", "sae.settings.kk is not a key; did you mean sae.settings.k?"),
        ("train_sae", "batch_token=3", "batch_token is not a key; did you mean batch_tokens?"),
        ("compare", "layer_a=three", "Value 'three' of type 'str' could not be converted to Integer"),
        ("compare", "matching.direction=b2a", "Invalid value 'b2a', expected one of [a_to_b, b_to_a]"),
        ("compare", "model_a=stories_7", "stories_12"),
        ("compare", "model_a=null", "model_a=null: names no option of a config group"),
        ("compare", "sweep=paper", "sweep=paper goes over the paper's layers for a preset"),
        ("compare", "layer_a=[1", "layer_a=[1 cannot be read"),
    ],
)
def test_a_command_line_that_cannot_be_composed_is_one_sentence(compose_config, entry_point, override, told):
    with pytest.raises(Exception) as error:
        compose_config(entry_point, override)
    sentence = composition_error(error.value, PROGRAMS[entry_point], [override])
    assert told in sentence
    assert "\n" not in sentence


def test_other_errors_are_not_of_the_command_line():
    assert composition_error(ValueError("something else"), COMPARE, []) is None
    assert composition_error(AssertionError(), COMPARE, []) is None


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("+layr_a=5", r"\+layr_a=5: is not a configuration key; did you mean layer_a?"),
        (
            "+filters.shared=true",
            r"\+filters.shared=True: is not .* key.* did you mean filters.shared_token?",
        ),
        ("+xyzzy=1", r"\+xyzzy=1: is not a configuration key.*--help lists them all"),
    ],
)
def test_a_key_that_nothing_reads_is_refused(compose_config, override, told):
    with pytest.raises(UserError, match=told):
        typed(compose_config("compare", override), CompareConfig)


def test_a_value_that_is_asked_for_is_named(compose_config):
    with pytest.raises(UserError, match=r"model_a.name=\?\?\?: has no value"):
        typed(compose_config("compare", "model_a=hub", "output_dir=x", "logger=none"), CompareConfig)


def test_an_interpolation_that_leads_nowhere_is_named(compose_config):
    cfg = compose_config("compare", "layer_b=${layr_a}", "output_dir=x", "logger=none")
    with pytest.raises(UserError, match=r"layer_b=\$\{layr_a\}: cannot be read .*'layr_a' not found") as error:
        typed(cfg, CompareConfig)
    assert "\n" not in str(error.value)


def test_what_only_plugins_read_may_be_added(compose_config):
    typed(compose_config("compare", "+trainer.max_time=1", "output_dir=x", "logger=none"), CompareConfig)
