"""Dictionaries that nobody trained."""

import pytest
import torch

from analogue.errors import InvalidArgument
from analogue.saes import sae_fingerprint
from analogue.saes.bases import is_raw_basis, raw_basis


def read(n=50, d=24):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, d, generator=generator) * torch.arange(1, d + 1) + 2


def test_coordinates_are_two_features_each_that_lose_nothing():
    basis = raw_basis("identity", 24)
    acts = basis.encode(read())
    assert acts.shape == (50, 48)
    assert (acts >= 0).all()
    torch.testing.assert_close(acts @ basis.W_dec, read())
    torch.testing.assert_close(basis.decode(acts), read())
    torch.testing.assert_close((read() @ basis.W_enc).relu(), acts)
    assert basis.cfg.architecture() == "identity"


def test_random_directions_count_where_they_are_among_the_highest():
    basis = raw_basis("random:seed=3,d_sae=100,k=5", 24)
    torch.testing.assert_close(basis.W_dec.norm(dim=1), torch.ones(100))
    projections = (read() @ basis.W_dec.T).relu()
    highest = projections.topk(5).values[:, -1:]
    torch.testing.assert_close(basis.encode(read()), projections * (projections >= highest))


def test_a_seed_draws_the_same_directions_and_defaults_follow_from_the_width():
    one, same, other = (raw_basis(f"random:seed={seed}", 300) for seed in (0, 0, 1))
    assert sae_fingerprint(one) == sae_fingerprint(same) != sae_fingerprint(other)
    assert (one.cfg.d_sae, one.cfg.k, raw_basis("random:seed=0", 24, default_k=16).cfg.k) == (2400, 32, 16)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("random", "does not say which random directions; write random:seed=0"),
        ("random:k=4", "does not say which"),
        ("random:seed=0,width=4", "does not say which"),
        ("random:seed=-1", "does not say which"),
        ("random:seed=0,k=0", "has k=0, which must be at least 1"),
        ("random:seed=0,d_sae=4,k=8", "asks for the 8 highest of 4 directions"),
    ],
)
def test_what_does_not_name_random_directions_is_one_sentence(name, told):
    assert is_raw_basis(name)
    with pytest.raises(InvalidArgument, match=r"^path=") as caught:
        raw_basis(name, 24)
    assert told in str(caught.value)


def test_folders_are_no_bases():
    assert not any(map(is_raw_basis, ("randomised/layer_3", "./random", "identity/3", None)))
