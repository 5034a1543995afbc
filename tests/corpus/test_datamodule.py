from types import SimpleNamespace

import numpy as np
import pytest

from analogue.corpus import TokenDataModule, TokenSequences


@pytest.mark.parametrize("n_sequences", [1, 2, 3, 7, 10])
@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_every_sequence_is_read_by_exactly_one_rank(n_sequences, world_size):
    everywhere = np.ones((n_sequences, 4), dtype=bool)
    sequences = TokenSequences(np.arange(n_sequences * 4).reshape(-1, 4), everywhere, everywhere)
    seen = []
    for rank in range(world_size):
        datamodule = TokenDataModule([sequences], batch_size=2)
        datamodule.trainer = SimpleNamespace(global_rank=rank, world_size=world_size)
        (loader,) = datamodule.test_dataloader()
        for batch in loader:
            assert (batch.ids[:, 0] == batch.sequence_index * 4).all()
            seen += batch.sequence_index.tolist()
    assert sorted(seen) == list(range(n_sequences))
