import numpy as np
import pytest
import torch

from analogue.features import ActivationCollector


def sparse_rows(n_tokens=30, d_sae=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    acts = torch.rand(n_tokens, d_sae, generator=generator)
    acts[torch.rand(n_tokens, d_sae, generator=generator) < 0.7] = 0
    acts[n_tokens // 7] = 0  # a token on which nothing fires
    return acts


def test_order_of_batches_does_not_matter():
    acts = sparse_rows()
    collector = ActivationCollector(12)
    for rows in torch.randperm(30, generator=torch.Generator().manual_seed(3)).split(7):
        collector.update(rows, acts[rows])
    collected = collector.activations()
    np.testing.assert_array_equal(collected.to_scipy().toarray(), acts.numpy())


def test_positions_may_have_gaps_where_there_was_padding():
    acts = sparse_rows(6)
    collector = ActivationCollector(12)
    collector.update(torch.tensor([40, 2, 7, 11, 3, 90]), acts)
    expected = acts[[1, 4, 2, 3, 0, 5]]
    np.testing.assert_array_equal(collector.activations().to_scipy().toarray(), expected.numpy())


def test_many_batches_leave_few_blocks_of_memory():
    acts, collector = sparse_rows(1000), ActivationCollector(12)
    for rows in torch.randperm(1000, generator=torch.Generator().manual_seed(3)).split(3):
        collector.update(rows, acts[rows])
    assert max(len(getattr(collector, name)) for name in ("position", "n_features", "indices", "values")) <= 10
    np.testing.assert_array_equal(collector.activations().to_scipy().toarray(), acts.numpy())


def test_a_position_given_twice_is_refused():
    collector = ActivationCollector(12)
    collector.update(torch.arange(3), sparse_rows(3))
    collector.update(torch.tensor([2]), sparse_rows(1))
    with pytest.raises(ValueError, match="expected each position once"):
        collector.activations()
