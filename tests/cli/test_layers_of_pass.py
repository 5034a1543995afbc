import pytest

from analogue.cli.compare import layers_of_pass
from analogue.errors import UserError
from analogue.features import ActivationStore

SAME_MODEL = ("model_b=stories_6", "sae_b=stories_6", "layer_a=1", "layer_b=4")


@pytest.mark.parametrize(
    ("layer", "grid", "layers_per_pass", "expected"),
    [
        (3, [], 1, [3]),
        (3, [], "all", [3]),
        (3, [5, 1, 3], 1, [3]),
        (3, [5, 1, 3], "all", [1, 3, 5]),
        (1, range(1, 12), 4, [1, 2, 3, 4]),
        (7, range(1, 12), 4, [5, 6, 7, 8]),
        (11, range(1, 12), 4, [9, 10, 11]),
    ],
)
def test_layers_of_a_pass(layer, grid, layers_per_pass, expected):
    assert layers_of_pass(layer, grid, layers_per_pass) == expected


def test_whichever_job_comes_first_takes_the_same_layers_along():
    for layer in range(9):
        together = layers_of_pass(layer, range(9), 2)
        assert all(layers_of_pass(other, range(9), 2) == together for other in together)


def test_layers_taken_along_are_those_that_their_own_jobs_would_compute(compare, tmp_path):
    grid = ("sweep.layers_a=[1,2,99]", "sweep.layers_b=[2,4,5]")  # no layer 99: its own job would say so
    caches = [f"cache.dir={tmp_path}/{name}" for name in ("along", "alone")]
    first = compare(*SAME_MODEL, *grid, caches[0], "layers_per_pass=all")
    assert first.n_model_passes == 1
    along = ActivationStore(tmp_path / "along", 1)
    assert len([*along.directory.glob("*.safetensors")]) == 4
    later = compare(*SAME_MODEL, "layer_a=2", "layer_b=5", caches[0])
    alone = compare(*SAME_MODEL, "layer_a=2", "layer_b=5", caches[1])
    assert (later.n_model_passes, alone.n_model_passes) == (0, 1)
    assert later.similarity == alone.similarity
    for side in (alone.side_a, alone.side_b):
        one, other = along.get(side.activation_key), ActivationStore(tmp_path / "alone", 1).get(side.activation_key)
        assert (one.activations.to_scipy() != other.activations.to_scipy()).nnz == 0
        assert one.facts == other.facts


@pytest.mark.parametrize("value", ["0", "-1", "some"])
def test_layers_per_pass_is_a_number_or_all(compare, value):
    with pytest.raises(UserError, match="layers_per_pass"):
        compare(f"layers_per_pass={value}")
