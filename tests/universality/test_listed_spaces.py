"""What a configuration says of spaces: combinations of what is varied, lists, and names."""

from analogue.cli.universality import listed_spaces, training_overrides


def test_checkpoints_have_an_sae_each_or_share_one():
    common = {"model": "EleutherAI/pythia-70m-deduped", "layer": 3, "sae": "saes/{revision}/layer_{layer}"}
    names, spaces = listed_spaces(common, {"revision": ["step1000", "step8000"]}, [])
    assert names == ["revision step1000", "revision step8000"]
    assert [space.revision for space in spaces] == ["step1000", "step8000"]
    assert [space.sae for space in spaces] == ["saes/step1000/layer_{layer}", "saes/step8000/layer_{layer}"]
    _, spaces = listed_spaces(common | {"sae": "saes/one"}, {"revision": ["step1000", "step8000"]}, [])
    assert [space.sae for space in spaces] == ["saes/one", "saes/one"]


def test_every_combination_is_a_space_and_a_list_adds_others():
    common = {"model": "m", "layer": 1, "sae": "s/{seed}"}
    listed = [{"name": "other", "model": "n", "layer": 0, "sae": "t"}]
    names, spaces = listed_spaces(common, {"layer": [1, 2], "seed": [0, 1], "dtype": ["float32"]}, listed)
    assert names == ["layer 1, seed 0", "layer 1, seed 1", "layer 2, seed 0", "layer 2, seed 1", "other"]
    assert [(space.layer, space.sae) for space in spaces][2:] == [(2, "s/0"), (2, "s/1"), (0, "t")]


def test_equal_names_are_told_apart():
    names, _ = listed_spaces({}, {}, [{"model": "m", "layer": 1, "sae": sae} for sae in ("x", "y")])
    assert names == ["m layer 1 (0)", "m layer 1 (1)"]


def test_training_settings_are_a_command_line(tmp_path):
    train = {"model": {"name": "m"}, "seeds": [0, 1], "n_tokens": None, "output_dir": str(tmp_path)}
    overrides = ["trainer.enable_progress_bar=false", "model.name='m'", "seeds=[0,1]", "n_tokens=null"]
    overrides.append(f"output_dir='{tmp_path}'")
    assert training_overrides(train, {"enable_progress_bar": False}) == overrides
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step=10.ckpt").touch()
    assert training_overrides(train, {"enable_progress_bar": False})[-1] == "ckpt_path='last'"
