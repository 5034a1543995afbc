"""A signal ends a run on every rank, whichever of them it reaches."""

import signal
from types import SimpleNamespace

import pytest

from analogue.training.checkpoints import StopOnSignal


@pytest.mark.parametrize("received", [None, signal.SIGINT])
@pytest.mark.parametrize("by_any", [True, False])
def test_ranks_stop_together(tmp_path, received, by_any):
    saved, asked = [], []

    def any_rank(decision, all):
        asked.append((decision, all))
        return by_any

    strategy = SimpleNamespace(reduce_boolean_decision=any_rank)
    trainer = SimpleNamespace(strategy=strategy, global_step=7, should_stop=False)
    trainer.save_checkpoint = lambda path, weights_only: saved.append(path)
    stop = StopOnSignal(tmp_path)
    stop.received = received
    stop.on_train_batch_end(trainer)
    assert asked == [(received is not None, False)]
    assert trainer.should_stop == by_any
    assert saved == ([tmp_path / "step=7.ckpt"] if by_any else [])
    assert stop.received == (received or (signal.SIGTERM if by_any else None))
