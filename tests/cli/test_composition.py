"""What Hydra refuses, in one sentence."""

import pytest

from analogue.cli.composition import composition_error, instantiated, listed_values, typed
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
        ("compare", "layer_a=three", "layer_a=three: takes a whole number"),
        ("compare", "matching.direction=b2a", "matching.direction=b2a: takes one of a_to_b, b_to_a"),
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
        ("+layer_A=2", r"\+layer_A=2: is not a configuration key; did you mean layer_a?"),
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


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("layer_a 3", "layer_a: a setting is KEY=VALUE; write layer_a=3"),
        ("seed=1 layer_a -3", "layer_a: a setting is KEY=VALUE; write layer_a=-3"),
        ("layer_a = 3", "layer_a: a setting is KEY=VALUE; write layer_a=3"),
        ("layr_a", "layr_a: a setting is KEY=VALUE; did you mean layer_a=VALUE?"),
        ("layer_a= 3", "layer_a= 3: a setting holds no space; write layer_a=3"),
        ("7", "7: is no setting, which is KEY=VALUE; --help lists the keys"),
        ("layer_a=[1,2]", "layer_a=[1,2]: takes a whole number; -m layer_a=1,2 runs a job for each"),
        ("layer_a={a:1}", "layer_a={a:1}: takes a whole number"),
        ("layer_a.x=3", "layer_a.x=3: layer_a takes a whole number"),
        ("layer_a=null", "layer_a=null: takes a whole number"),
        ("explore=maybe", "explore=maybe: takes true or false"),
        ("cache.max_gb=much", "cache.max_gb=much: takes a number"),
        ("data.exclude_outliers=x", "data.exclude_outliers=x: takes a number, or null"),
        ("layers_per_pass=[1]", "layers_per_pass=[1]: takes a whole number or a string; -m layers_per_pass=1 runs"),
        ("sweep.layers_a=[x]", "sweep.layers_a=[x]: takes a list of whole numbers"),
        ("null.kinds=[x]", "null.kinds=[x]: takes a list of any of shuffle, random_pairs, rotated, permuted_sequences"),
        ("trainer=5", "trainer=5: takes a section: {NAME: VALUE}"),
        ("layer_a=1,2", "layer_a=1,2: add -m to run a job for each"),
        ("layer_a=range(1,3)", "layer_a=range(1,3): add -m to run a job for each"),
        ("filters=paper,none", "filters=paper,none: add -m to run a job for each"),
        ("metrics=svcca,rsa", "metrics=svcca,rsa: add -m to run a job for each, or write metrics=[svcca,rsa] for one"),
        ("data.path=a,b", "data.path=a,b: add -m to run a job for each; one value with a comma stands in quotes: '"),
        ("hydra/launcher=a,b", "hydra/launcher=a,b: takes one value"),
        ("filters=papr", "filters=papr: is no option of this group; did you mean paper? choose from concept, full_st"),
        ("+experiment=xyzzy", "experiment=xyzzy: is no option of this group; choose from controls"),
    ],
)
def test_a_sentence_begins_with_what_was_typed_and_ends_with_what_works(compose_config, arguments, told):
    overrides = listed_values(arguments.split(), CompareConfig)
    with pytest.raises(Exception) as error:
        compose_config("compare", *overrides)
    sentence = composition_error(error.value, COMPARE, overrides)
    assert sentence.startswith(told)
    assert "\n" not in sentence


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"_target_": "my_package.predictivity"}, "(No module named 'my_package'); a module of the current folder is"),
        ({"_target_": "hydra.utils.get_method", "path": "my_package.f"}, "(No module named 'my_package'); a module"),
        ({"_target_": "analogue.nothing"}, "(No module named 'analogue.nothing')"),
        ({"_target_": "analogue.errors.Nothing.x"}, "(No module named 'analogue.errors.Nothing'; 'analogue.errors' is"),
        ({"_target_": "json.JSONDecoder.nothing"}, "has no attribute 'nothing')"),
    ],
)
def test_an_object_that_cannot_be_imported_says_why(settings, told, caplog):
    with pytest.raises(UserError) as error:
        instantiated(settings, "metrics", "x")
    assert str(error.value).startswith("metrics=x: cannot be made (")
    assert told in str(error.value)
    assert "PYTHONPATH=." in str(error.value) or "my_package" not in str(error.value)
    assert not caplog.records
