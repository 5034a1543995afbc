"""The loss curve is that of SAELens's own trainer."""

import copy

import pytest
import torch
from sae_lens.config import LoggingConfig, SAETrainerConfig
from sae_lens.training.sae_trainer import SAETrainer

from tests.training.conftest import BATCH, D_IN, fit, module_of, random_batches, sae_of

N_STEPS, WARM_UP, DECAY, WINDOW = 200, 20, 40, 50
ARCHITECTURES = {
    "standard": {"l1_coefficient": 0.5},
    "topk": {"k": 4},
    "batchtopk": {"k": 4},
    "jumprelu": {"l0_coefficient": 0.1},
    "gated": {"l1_coefficient": 0.5},
    "matryoshka_batchtopk": {"k": 4, "matryoshka_shares": [0.25, 0.5, 1.0]},
}


def losses_of_saelens(sae, batches):
    cfg = SAETrainerConfig(
        n_checkpoints=0,
        checkpoint_path=None,
        save_final_checkpoint=False,
        total_training_samples=N_STEPS * BATCH,
        device="cpu",
        autocast=False,
        lr=1e-3,
        lr_end=1e-3,
        lr_scheduler_name="constant",
        lr_warm_up_steps=WARM_UP,
        adam_beta1=0.9,
        adam_beta2=0.999,
        lr_decay_steps=DECAY,
        n_restart_cycles=1,
        train_batch_size_samples=BATCH,
        dead_feature_window=WINDOW,
        feature_sampling_window=1000,
        logger=LoggingConfig(log_to_wandb=False),
    )
    trainer = SAETrainer(cfg, sae, iter([batch[0] for batch in batches]))
    losses, step = [], trainer._train_step
    trainer._train_step = lambda *args, **named: (out := step(*args, **named), losses.append(float(out.loss.detach())))[
        0
    ]
    trainer.fit()
    return losses


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("apply_b_dec_to_input", [True, False])
def test_the_loss_of_every_step_is_saelens_own(architecture, apply_b_dec_to_input):
    sae = sae_of(architecture, apply_b_dec_to_input=apply_b_dec_to_input, **ARCHITECTURES[architecture])
    batches = random_batches(N_STEPS)
    expected = losses_of_saelens(copy.deepcopy(sae), batches)
    found = fit(module_of({"a": sae}, warm_up=WARM_UP, decay=DECAY, dead_after_tokens=WINDOW * BATCH), batches)
    assert len(found) == N_STEPS
    torch.testing.assert_close(torch.tensor(found), torch.tensor(expected), rtol=1e-4, atol=1e-4)
    assert min(found) < 0.9 * found[0]


def test_the_input_is_scaled_as_saelens_scales_it():
    sae = sae_of("standard", l1_coefficient=0.5, normalize_activations="expected_average_only_in")
    batches = random_batches(20)
    module = module_of({"a": sae})
    fit(module, batches)
    norms = torch.cat([batch[0] for batch in batches[:8]]).norm(dim=-1)
    scale = D_IN**0.5 / float(norms.mean())
    assert float(module.saes["a"].input_scale) == pytest.approx(scale, rel=1e-6)
    resid = batches[0][0]
    before, _ = module.saes["a"].reconstruct(resid)
    folded = module.saes["a"].finish()
    torch.testing.assert_close(folded.decode(folded.encode(resid)), before, rtol=1e-4, atol=1e-5)
