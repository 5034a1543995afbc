"""`--help` has every key with its default and a meaning that can be read on its own."""

import re

import pytest

from analogue.cli.composition import keys_of
from analogue.cli.conf import COMPARE, TRAIN_SAE, UNIVERSALITY
from analogue.cli.help import keys_text

PROGRAMS = {"compare": COMPARE, "train-sae": TRAIN_SAE, "universality": UNIVERSALITY}


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_key_stands_with_its_default_and_a_meaning(program):
    cfg = PROGRAMS[program].compose("data=text", with_hydra=True)
    text = keys_text(program, cfg)
    shown = dict(re.findall(r"^([\w.]+)=(.*)$", text, flags=re.MULTILINE))
    keys = {*keys_of(PROGRAMS[program].schema)}
    assert {key for key in keys if not any(other.startswith(f"{key}.") for other in keys)} <= {*shown}
    assert shown["data.path"] == "???"
    assert shown["logger"].startswith("{_target_: ")
    described = re.findall(r"^([\w.]+)=.*\n((?:    .*\n?)+)", text, flags=re.MULTILINE)
    assert len(described) > 20
    for key, meaning in described:
        assert not re.search(r"as above|`|\]\(", meaning), key
    assert not re.search(r"^(\S+)=.*\n\Z", text, flags=re.MULTILINE)  # the last has a meaning too


def test_defaults_follow_the_command_line():
    text = keys_text("compare", COMPARE.compose("layer_a=5", "filters=none", with_hydra=True))
    assert "layer_a=5\n" in text
    assert "filters.shared_token=false\n" in text
    assert "filters.one_to_one=null\n" in text
