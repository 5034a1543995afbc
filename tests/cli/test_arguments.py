"""Arguments that look like options and are none."""

import pytest

from analogue.cli.arguments import misread_option, options_first, without_equals

KNOWN, FLAGS = {"layer_a", "layer_b", "seed", "explore", "filters", "data.n_sequences"}, {"explore"}


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("--layer_a 3", "--layer_a 3: keys are written without dashes; write layer_a=3"),
        ("--layer_a=3", "--layer_a=3: keys are written without dashes; write layer_a=3"),
        ("seed=1 --layer-a -3 filters=none", "--layer-a -3: keys are written without dashes; write layer_a=-3"),
        ("-layer_a=3", "-layer_a=3: keys are written without dashes; write layer_a=3"),
        ("--filters paper", "--filters paper: keys are written without dashes; write filters=paper"),
        ("--explore", "--explore: keys are written without dashes; write explore=true"),
        ("--seed layer_a=3", "--seed: keys are written without dashes; write seed=VALUE"),
        ("--layr_a 3", "--layr_a 3: keys are written without dashes; did you mean layer_a=3?"),
        ("--layer_A 3", "--layer_A 3: keys are written without dashes; did you mean layer_a=3?"),
        ("--xyzzy 3", "--xyzzy 3: is no option; keys are written without dashes, KEY=VALUE, and --help lists them"),
        ("--mutlirun", "--mutlirun: is no option; did you mean --multirun?"),
        ("--cfg jobb", "argument --cfg/-c: invalid choice: 'jobb'"),
        ("seed=1 --resolve layer_a=2", "layer_a=2: stands after an option; options stand before all settings"),
    ],
)
def test_a_misread_option_is_one_sentence(arguments, told):
    sentence = misread_option(arguments.split(), KNOWN, FLAGS)
    assert sentence.startswith(told)
    assert "\n" not in sentence


@pytest.mark.parametrize("arguments", ["", "layer_a=3", "-m layer_a=1,2", "--cfg job seed=1", "-sc query=bash", "-h"])
def test_options_that_can_be_read_are_left_to_hydra(arguments):
    assert misread_option(arguments.split(), KNOWN, FLAGS) is None


def test_multirun_may_stand_anywhere():
    assert options_first(["seed=1", "-m", "layer_a=1,2"]) == ["-m", "seed=1", "layer_a=1,2"]
    assert options_first(["seed=1"]) == ["seed=1"]


def test_the_key_that_differs_in_case_alone_is_meant():
    told = without_equals("layer_A", ["layer_A", "3"], ["layer_b", "layer_a"])
    assert told == "layer_A: a setting is KEY=VALUE; did you mean layer_a=3?"
