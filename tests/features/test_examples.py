"""Which activations a page has room for."""

import numpy as np
import pytest

from analogue.features import held_activations

LENGTHS = np.array([100, 60, 140])
REACHES = (20, 10, 5, 2, 0)
DENSE = np.arange(300)
GROUPS = [np.array([50, 150]), np.array([250]), np.array([10]), np.array([200, 120])]


def about(positions, reach):
    """Tokens within so many of a position, in its sequence."""
    sequence = np.repeat([0, 1, 2], LENGTHS)
    near = (np.abs(DENSE[:, None] - positions) <= reach) & (sequence[:, None] == sequence[positions])
    return near.any(axis=1)


@pytest.mark.parametrize(
    ("room", "reach", "n_groups"),
    [
        (1000, 20, 4),
        (213, 20, 4),
        (212, 20, 3),
        (142, 20, 3),
        (141, 20, 2),
        (112, 20, 2),
        (111, 10, 2),
        (61, 5, 2),
        (3, 0, 2),
        (0, 0, 2),
    ],
)
def test_there_are_fewer_groups_then_less_about_them_as_the_room_gets_smaller(room, reach, n_groups):
    held = held_activations(DENSE, GROUPS, LENGTHS, room, REACHES)
    assert (held.reach, held.n_groups) == (reach, n_groups)
    np.testing.assert_array_equal(held.which, about(np.concatenate(GROUPS[:n_groups]), reach))
    assert held.which.sum() <= max(room, 3)


def test_a_sparse_feature_is_counted_where_it_fires():
    tokens = np.array([45, 55, 99, 100, 155])
    held = held_activations(tokens, GROUPS, LENGTHS, 3, REACHES)
    assert held.reach == 20
    assert tokens[held.which].tolist() == [45, 55, 155]
