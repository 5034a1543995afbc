"""What SAEs start from, on streams such as real models have: one large constant vector, and a few huge tokens."""

import warnings

import lightning as L
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import EarlyStopping
from scipy.optimize import minimize

from analogue.errors import AnalogueWarning, InvalidArgument
from analogue.models import open_model
from analogue.training.held_out import cross_entropy_recovered
from analogue.training.module import SAETraining
from analogue.training.pipeline import check_trainer
from analogue.training.progress import chosen, too_few_tokens
from analogue.training.sae import SAEUnderTraining, centre_of
from analogue.training.settings import (
    SCALED_ONCE,
    Buffer,
    Evaluation,
    Optimiser,
    TrainingPlan,
    default_batch_tokens,
    default_dead_after_tokens,
    default_learning_rate,
)
from analogue.training.source import ModelSource
from tests.training.conftest import fit, sae_of

D_IN, D_SAE, BATCH = 24, 192, 256
SETTINGS = {
    "topk": {"k": 4},
    "batchtopk": {"k": 4},
    "standard": {"l1_coefficient": 0.5},
    "gated": {"l1_coefficient": 0.5},
    "jumprelu": {"l0_coefficient": 0.1},
}


def stream(n_tokens, seed=0, n_sinks=0):
    """Sparse features on a constant vector of eight times their norm, and sinks of a hundred times that."""
    generator = torch.Generator().manual_seed(seed)
    truth = torch.nn.functional.normalize(torch.randn(96, D_IN, generator=torch.Generator().manual_seed(99)), dim=1)
    constant = 30 * torch.nn.functional.normalize(torch.arange(1.0, D_IN + 1), dim=0)
    fires = torch.rand(n_tokens, 96, generator=generator) < 0.04
    resid = constant + (fires * (1 + torch.rand(n_tokens, 96, generator=generator))) @ truth
    sinks = torch.randperm(n_tokens, generator=generator)[:n_sinks]
    resid[sinks] = 3000 * torch.nn.functional.normalize(torch.ones(D_IN), dim=0)
    return resid, sinks


def under_training(architecture="topk", dead_after_tokens=2000, **settings):
    given = {"normalize_activations": SCALED_ONCE} | SETTINGS[architecture] | settings
    return SAEUnderTraining(sae_of(architecture, d_in=D_IN, d_sae=D_SAE, **given), 0, dead_after_tokens)


def test_an_sae_starts_at_the_centre_of_the_tokens_that_count():
    resid, sinks = stream(4000, n_sinks=40)
    each = under_training()
    each.start(resid, "mean", exclude_outliers=10.0)
    assert (~each.is_counted(resid)).nonzero().squeeze(1).tolist() == sorted(sinks.tolist())
    rest = np.delete(resid.double().numpy(), sinks.numpy(), axis=0)
    distance = np.linalg.norm(rest - rest.mean(0), axis=1).mean()
    assert float(each.input_scale) == pytest.approx(D_IN**0.5 / distance, rel=1e-5)
    np.testing.assert_allclose(each.sae.b_dec.detach(), rest.mean(0) * D_IN**0.5 / distance, rtol=1e-5)


def test_without_a_method_only_the_scale_is_estimated():
    resid, _ = stream(1000)
    each = under_training()
    each.start(resid)
    assert float(each.sae.b_dec.abs().max()) == 0
    assert float(each.largest_norm) == float("inf")
    assert float((resid * each.input_scale).norm(dim=1).mean()) == pytest.approx(D_IN**0.5, rel=1e-5)


def test_the_geometric_median_is_the_point_of_least_total_distance():
    resid = stream(300, n_sinks=30)[0].double().numpy()
    total = lambda point: np.linalg.norm(resid - point, axis=1).sum()  # noqa: E731
    best = minimize(total, np.median(resid, axis=0), method="L-BFGS-B", options={"maxiter": 5000, "ftol": 1e-15})
    found = centre_of(torch.from_numpy(resid), "geometric_median").numpy()
    assert total(found) <= best.fun * (1 + 1e-9)
    np.testing.assert_allclose(found, best.x, rtol=1e-3)


@pytest.mark.parametrize("architecture", ["topk", "standard", "gated"])
def test_an_encoder_that_does_not_subtract_the_bias_starts_with_the_same_activations(architecture):
    resid, _ = stream(500)
    own, of_bias = (under_training(architecture, apply_b_dec_to_input=flag) for flag in (False, True))
    for each in (own, of_bias):
        each.start(resid, "mean")
    acts = [each.reconstruct(resid)[1] for each in (own, of_bias)]
    assert float(acts[0].max()) > 0
    torch.testing.assert_close(*acts, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("architecture", ["topk", "batchtopk"])
def test_features_live_where_the_start_is_the_mean_and_die_where_it_is_zero(architecture):
    resid, _ = stream(BATCH * 40, n_sinks=60)
    held_out, _ = stream(4000, seed=1)
    dead = {}
    for start, outliers in (("mean", 10.0), ("zeros", None)):
        each = under_training(architecture)
        module = SAETraining({"a": each}, 1e-3, 2, 8, b_dec_init_method=start, exclude_outliers=outliers)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AnalogueWarning)
            fit(module, [{0: batch} for batch in resid.split(BATCH)])
        dead[start] = float((each.reconstruct(held_out)[1] == 0).all(0).double().mean())
        assert int(each.n_outliers) == (60 if outliers else 0)
    assert dead["mean"] < 0.15
    assert dead["zeros"] > 0.5


def test_a_run_whose_features_mostly_die_says_so_once_while_it_runs():
    resid, _ = stream(BATCH * 60)
    module = SAETraining({"layer_7": under_training(dead_after_tokens=1000)}, 1e-5, 2, 8)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit(module, [{0: batch} for batch in resid.split(BATCH)], log_every_n_steps=5)
    (message,) = [str(each.message) for each in caught if each.category is AnalogueWarning]
    assert "% of the features of layer_7 are dead after " in message
    assert "`optimiser.learning_rate`" in message


def test_outliers_stay_as_they_are_where_reconstructions_replace_the_stream():
    stream_of = open_model("embedded:stories-6").load(with_head=True)
    ids = torch.arange(5, 65).reshape(2, 30)
    everywhere = torch.ones_like(ids, dtype=torch.bool)
    each = SAEUnderTraining(sae_of("topk", d_in=96, d_sae=192, k=4), 3, 1000)
    each.input_scale.fill_(1.0)
    text = ModelSource(stream_of, ids, everywhere, everywhere, [3])
    assert cross_entropy_recovered(text, {"a": each})["a"] != 1
    each.largest_norm.fill_(0.0)  # every token is one
    recovered = cross_entropy_recovered(text, {"a": each})["a"]
    assert np.isnan(recovered)  # nothing is replaced, by zeros neither


def test_defaults_follow_from_the_length_of_a_run():
    assert [default_batch_tokens(n) for n in (150_000, 500_000, 10_000_000)] == [512, 1024, 4096]
    assert [default_dead_after_tokens(n) for n in (150_000, 1_000_000, 10**9)] == [20_000, 40_000, 10_000_000]
    assert default_learning_rate(10) == default_learning_rate(500) == 3e-3
    assert default_learning_rate(50_000) == pytest.approx(3e-4)


def plan(n_tokens, factor=8, **changes):
    given = {
        "layers": [3],
        "seeds": [0],
        "expansion_factor": [factor],
        "architecture": "topk",
        "settings": {"k": None},
        "frozen_decoder": False,
        "n_tokens": n_tokens,
        "batch_tokens": 512,
        "dead_after_tokens": 20_000,
        "seq_len": 64,
        "packing": True,
        "exclude_bos": False,
        "exclude_special": False,
        "exclude_outliers": 10.0,
        "b_dec_init_method": "mean",
        "seed": 0,
        "dtype": "float32",
        "optimiser": Optimiser(),
        "buffer": Buffer(),
        "evaluation": Evaluation(),
    }
    return TrainingPlan(**given | changes)


def test_too_few_tokens_for_a_width_are_named_with_a_width_that_fits():
    assert too_few_tokens(plan(200_000, factor=8), d_model=576) == (
        "`n_tokens`=200,000 are few for 4,608 features, many of which may stay dead; "
        "`expansion_factor`=[6], or `n_tokens`=230400 would fit"
    )
    assert too_few_tokens(plan(230_400, factor=8), d_model=576) is None


def test_what_was_chosen_is_said_in_a_line():
    assert chosen(plan(150_000), d_model=576) == (
        "1 SAE (topk): 292 steps of 512 tokens, learning rate 0.003, k=32, features count as dead after 20,000 tokens, "
        "measured on 49,152 tokens of held-out text at the end"
    )


@pytest.mark.parametrize(
    ("n_tokens", "given", "expected"),
    [
        (150_000, None, 292),
        (982_000, None, 1917),  # a second measurement would read more than a tenth of it
        (984_000, None, 961),
        (10_000_000, None, 977),
        (984_000, 200, 200),
        (10_240, 200, 20),
    ],
)
def test_measuring_reads_at_most_a_tenth_of_what_training_reads(n_tokens, given, expected):
    asked = plan(n_tokens, evaluation=Evaluation(every_steps=given))
    assert asked.steps_between_evaluations == expected


def test_stopping_early_needs_a_measurement_before_the_end():
    trainer = L.Trainer(
        max_epochs=1,
        logger=False,
        val_check_interval=292,
        callbacks=[EarlyStopping("held_out/explained_variance", mode="max")],
    )
    with pytest.raises(InvalidArgument, match=r"^evaluation.every_steps=292: measures only after all 292 steps"):
        check_trainer(trainer, plan(150_000))
    check_trainer(trainer, plan(300_000))


@pytest.mark.parametrize("value", [1.0, 0.5, float("nan")])
def test_a_multiple_of_the_median_that_would_leave_out_half_is_refused(value):
    with pytest.raises(InvalidArgument, match=r"^exclude_outliers=.* must be above 1"):
        plan(4096, exclude_outliers=value)
