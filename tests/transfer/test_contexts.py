import numpy as np

from analogue.features import FeatureActivations
from analogue.transfer import firing, firing_contexts, silent_contexts, typical_activation

DENSE = np.array([[0.0, 2.0, 0.0], [4.0, 0.0, 0.0], [2.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
ACTS = FeatureActivations.from_dense(DENSE)


def test_a_typical_activation_is_the_mean_where_a_feature_fires():
    assert typical_activation(ACTS, np.array([1, 0, 2])).tolist() == [1.5, 3.0, 0.0]


def test_firing_is_where_activations_are_not_zero():
    np.testing.assert_array_equal(firing(ACTS, np.array([1, 0])), (DENSE[:, [1, 0]] != 0).T)


def test_silent_contexts_are_those_where_no_feature_fires():
    fires = np.random.default_rng(0).random((10, 500)) < 0.1
    allowed = np.arange(500) % 2 == 0
    found = silent_contexts(fires, allowed, 20, seed=0)
    assert len(found) == len({*found.tolist()}) == 20
    assert allowed[found].all()
    assert not fires[:, found].any()
    assert (found == silent_contexts(fires, allowed, 20, seed=0)).all()
    assert (found != silent_contexts(fires, allowed, 20, seed=1)).any()


def test_where_none_is_silent_the_fewest_fire():
    fires = np.ones((3, 6), bool)
    fires[1:, 4] = False
    assert silent_contexts(fires, np.ones(6, bool), 1, seed=0).tolist() == [4]
    assert len(silent_contexts(fires, np.zeros(6, bool), 4, seed=0)) == 0


def test_firing_contexts_are_where_it_fires():
    fires = np.array([True, False, True, True, False])
    assert firing_contexts(fires, np.array([True, True, True, False, True]), 5, 0).tolist() == [0, 2]
    assert len(firing_contexts(fires, np.ones(5, bool), 2, 0)) == 2
