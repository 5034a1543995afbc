"""Trains SAEs: the steps of a run, one after the other."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
from sae_lens import SAE

from analogue.errors import (
    InvalidArgument,
    check_folder,
    check_kind,
    check_list,
    check_memory,
    renamed_arguments,
    warn,
    whole_number,
)
from analogue.models import LanguageModel, open_model
from analogue.options import DecoderBiasStart, Hook, Precision
from analogue.quiet import quiet_libraries
from analogue.saes import misfit_warnings
from analogue.settings import Text
from analogue.trainer import check_precision, trainer_on
from analogue.training.checkpoints import AtomicCheckpoints, NewestCheckpoints
from analogue.training.datamodule import ActivationDataModule, tokenised
from analogue.training.held_out import HeldOutQuality
from analogue.training.module import NotFiniteError, SAETraining
from analogue.training.progress import chosen, progress_lines, shows_lines, too_few_tokens
from analogue.training.sae import SAEUnderTraining, inference_sae, new_sae, save_sae
from analogue.training.settings import (
    Buffer,
    Checkpoints,
    Evaluation,
    Optimiser,
    SAEPlan,
    TrainingPlan,
    default_settings,
    sizes_by_length,
)

STORIES = Text("embedded:stories/train.parquet")
HELD_OUT_STORIES = Text("embedded:stories/heldout.parquet")
# Sites that are as wide as the stream, and whose activations a hook on one module can replace during a pass.
TRAINED_ON = (Hook.resid_pre, Hook.resid_post, Hook.mlp_in, Hook.mlp_out, Hook.attn_out)
# These architectures choose active features over a whole batch: on a rank's share of it, they would choose others.
OF_WHOLE_BATCHES = ("batchtopk", "matryoshka_batchtopk")


@dataclass(frozen=True, eq=False)
class TrainedSAE:
    """An SAE that has been trained.

    Attributes:
        sae: for inference, on the CPU: `encode`, `decode`, `W_dec` (d_sae, d_in).
        name: `layer_3`, or `layer_3/seed_0/d_sae_768` where seeds or widths differ.
        layer: whose residual stream it reads.
        seed: of its initial weights.
        d_sae: its number of features.
        quality: on held-out text.
    """

    sae: SAE[Any]
    name: str
    layer: int
    seed: int
    d_sae: int
    quality: HeldOutQuality

    def save(self, directory: str | Path) -> None:
        """Write `sae_weights.safetensors` and `cfg.json`, as SAELens reads them, into a directory.

        Raises:
            OSError: the directory cannot be written.
        """
        save_sae(self.sae, Path(directory))


def train(
    model: Any,
    layers: Sequence[int],
    *,
    tokenizer: Any = None,
    revision: str | None = None,
    gguf_file: str | None = None,
    hook: str = Hook.resid_post,
    seeds: Sequence[int] = (0,),
    expansion_factor: Sequence[int] = (8,),
    architecture: str = "topk",
    settings: Mapping[str, Any] | None = None,
    frozen_decoder: bool = False,
    corpus: Text | str | Path | Sequence[str] = STORIES,
    held_out: Text | str | Path | Sequence[str] | None = None,
    seq_len: int = 300,
    packing: bool = True,
    exclude_bos: bool = False,
    exclude_special: bool = False,
    exclude_outliers: float | None = 10.0,
    b_dec_init_method: str = DecoderBiasStart.mean,
    n_tokens: int = 640_000,
    batch_tokens: int | None = None,
    dead_after_tokens: int | None = None,
    optimiser: Optimiser | None = None,
    buffer: Buffer | None = None,
    evaluation: Evaluation | None = None,
    dtype: str = Precision.float32,
    seed: int = 0,
    cache_dir: str | Path | None = None,
    output_dir: str | Path | None = None,
    checkpoints: Checkpoints | None = None,
    ckpt_path: str | Path | None = None,
    device: str = "auto",
    progress: bool = True,
    callbacks: Sequence[L.Callback] = (),
    trainer: L.Trainer | None = None,
) -> list[TrainedSAE]:
    """Train SAEs on the residual stream of a language model, side by side on the same batches.

    Every layer with every seed and every width is an SAE; its result is independent of which others are trained with
    it. Nothing is written unless `cache_dir`, `output_dir` or `checkpoints` is given.

    Args:
        model: a hub id, a directory in `transformers` format, an `embedded:` name, or a `transformers` model with its
            head.
        layers: blocks of the model, counted from 0.
        tokenizer: of a model that is given as an object; None for the tokenizer that is stored with a named model.
        revision: branch, tag or commit of a named model on the hub.
        gguf_file: name of a GGUF file in that directory or repository.
        hook: what is read of a block: its output `resid_post`, its input `resid_pre`, or one of the sites `mlp_in`,
            `mlp_out` and `attn_out`.
        seeds: of the initial weights.
        expansion_factor: widths of the SAEs, d_sae / d_model.
        architecture: `topk`, `standard`, `batchtopk`, `gated`, `jumprelu` or `matryoshka_batchtopk`.
        settings: fields of SAELens's training configuration for that architecture; None for `default_settings`. A
            `k` of None is `default_k`.
        frozen_decoder: as a control, decoder rows stay random, with unit norm; only encoder and biases train.
        corpus: text to train on: a list of texts, a path, `OWNER/NAME` of a data set of the hub, or a `Text`.
        held_out: text to measure on, which no SAE trains on; None for the held-out part of the default `corpus`.
        seq_len: tokens per sequence, at most.
        packing: True for documents strung together; False for one document per sequence.
        exclude_bos: leave out beginning-of-text tokens and the first of each sequence.
        exclude_special: leave out special tokens wherever they stand.
        exclude_outliers: neither train nor measure on tokens whose norm is more than this many times the median
            (attention sinks); None to leave out none.
        b_dec_init_method: what decoder biases start at, estimated on a sample: `mean`, `geometric_median` or `zeros`.
        n_tokens: to train on; a shorter text is read again.
        batch_tokens: tokens per step, of all ranks together; None for `default_batch_tokens`.
        dead_after_tokens: a feature that has not fired for this many tokens counts as dead; None for
            `default_dead_after_tokens`.
        optimiser: the optimiser and its schedule; None for `Optimiser()`: Adam.
        buffer: where activations are mixed; None for `Buffer()`.
        evaluation: what is measured on held-out text, and how often; None for `Evaluation()`.
        dtype: of the weights of a named model; an object keeps its own.
        seed: of the order of the text.
        cache_dir: where activations are stored, for later runs too; None to compute them while training.
        output_dir: where the SAEs are saved, each under its name; None to save none.
        checkpoints: checkpoints to resume from; None for none.
        ckpt_path: a checkpoint of the same settings to go on from.
        device: `auto`, `cpu` or `cuda`.
        progress: whether to say what was chosen, and to show a progress bar; where the output is no terminal and no
            notebook, a line per logged step. With an `output_dir`, `training.log` there has the lines too.
        callbacks: of Lightning; see `SAETraining` for the values that they can monitor.
        trainer: a Lightning trainer of one epoch, in place of `device`, `progress`, `checkpoints` and `callbacks`; it
            decides when held-out text is measured.

    Returns:
        The SAEs, layer by layer.

    Raises:
        ArgumentError: something that was given cannot work. Subclasses are ValueErrors, LookupErrors and OSErrors.

    Example:
        >>> [trained] = train("embedded:stories-6", [3], n_tokens=2048, expansion_factor=[2], progress=False)
        >>> trained.name, trained.d_sae, round(trained.quality.l0)
        ('layer_3', 192, 16)
    """
    whole_number("n_tokens", n_tokens)
    check_kind("settings", settings, Mapping | None)
    check_kind("optimiser", optimiser, Optimiser | None, "learning_rate=1e-3")
    check_kind("buffer", buffer, Buffer | None, "tokens=65536")
    check_kind("evaluation", evaluation, Evaluation | None, "every_steps=200")
    check_kind("checkpoints", checkpoints, Checkpoints | None, '"checkpoints"')
    check_kind("trainer", trainer, L.Trainer | None)
    check_list("callbacks", callbacks, "[lightning.pytorch.callbacks.Timer()]")
    if output_dir is not None:
        check_folder("output_dir", output_dir)
    plan = TrainingPlan(
        layers=layers,
        seeds=seeds,
        expansion_factor=expansion_factor,
        architecture=architecture,
        settings=default_settings(architecture) if settings is None else settings,
        frozen_decoder=frozen_decoder,
        n_tokens=n_tokens,
        **sizes_by_length(n_tokens, batch_tokens, dead_after_tokens),
        seq_len=seq_len,
        packing=packing,
        exclude_bos=exclude_bos,
        exclude_special=exclude_special,
        exclude_outliers=exclude_outliers,
        b_dec_init_method=b_dec_init_method,
        seed=seed,
        dtype=dtype,
        optimiser=optimiser or Optimiser(),
        buffer=buffer or Buffer(),
        evaluation=evaluation or Evaluation(),
        cache_dir=cache_dir,
    )
    text, measured_on = _as_text("corpus", corpus), HELD_OUT_STORIES
    if held_out is not None:
        measured_on = _as_text("held_out", held_out)
    elif text != STORIES:
        raise InvalidArgument("held_out", None, "must be given with a `corpus`: text like it that no SAE trains on")
    if trainer is None:
        lines = progress_lines(plan.batch_tokens, output_dir, progress)
        callbacks = [*callbacks, *lines, *([NewestCheckpoints(checkpoints)] if checkpoints else [])]
        shows_bar = progress and not shows_lines()
        trainer = trainer_on(device, shows_bar, callbacks, log_every_n_steps=20, **trainer_settings(plan))
    elif callbacks or checkpoints:
        raise InvalidArgument("callbacks", [*callbacks], "belong to the `trainer` that is given, as checkpoints do")
    check_trainer(trainer, plan)
    with quiet_libraries():
        language_model = open_model(model, tokenizer, revision, hook, gguf_file=gguf_file)
        check_blocks(plan, language_model)
        if progress and trainer.is_global_zero:
            print(chosen(plan, language_model.d_model), flush=True)
        if few := too_few_tokens(plan, language_model.d_model):
            warn(few)
        module, data = prepare(plan, language_model, text, measured_on)
        fit(trainer, module, data, ckpt_path)
        trained = finish(trainer, module, data)
    for each in trained:
        if output_dir is not None and trainer.is_global_zero:
            each.save(Path(output_dir) / each.name)
        for warning in quality_warnings(each, plan, language_model):
            warn(warning)
    return trained


def trainer_settings(plan: TrainingPlan) -> dict[str, Any]:
    """Arguments of `lightning.Trainer` that every training run needs."""
    return {
        "max_epochs": 1,
        "num_sanity_val_steps": 0,
        "val_check_interval": plan.steps_between_evaluations,
        "plugins": [AtomicCheckpoints()],
        "logger": False,
    }


def check_trainer(trainer: L.Trainer, plan: TrainingPlan) -> None:
    """Raise `InvalidArgument` unless SAEs can be trained on this trainer."""
    if trainer.max_epochs != 1:
        problem = "would go through the stream again; give 1: `n_tokens` decides how long training lasts"
        raise InvalidArgument("trainer.max_epochs", trainer.max_epochs, problem)
    check_precision(trainer, ": Adam's small steps get lost in weights of half precision")
    every: Any = trainer.log_every_n_steps  # type: ignore[attr-defined]
    if not (isinstance(every, int) and every > 0):
        raise InvalidArgument("trainer.log_every_n_steps", every, "must be a whole number of steps, at least 1")
    between: Any = trainer.val_check_interval
    if trainer.early_stopping_callbacks and isinstance(between, int) and between >= plan.n_steps:
        problem = f"measures only after all {plan.n_steps} steps, when there is nothing left to stop; give fewer"
        raise InvalidArgument("evaluation.every_steps", between, problem)
    if trainer.world_size > 1 and plan.architecture in OF_WHOLE_BATCHES:
        problem = f"{plan.architecture} chooses features over a whole batch; use 1 device, or `architecture`=topk"
        raise InvalidArgument("trainer.devices", trainer.world_size, problem)


def check_blocks(plan: TrainingPlan, language_model: LanguageModel) -> None:
    """Raise `InvalidArgument` for a layer that the model does not have."""
    with renamed_arguments(layer="layers"):
        for layer in plan.layers:
            language_model.check_layer(layer)


def prepare(
    plan: TrainingPlan, language_model: LanguageModel, corpus: Text, held_out: Text
) -> tuple[SAETraining, ActivationDataModule]:
    """Fresh SAEs in their Lightning module, and the streams of activations that they read.

    Raises:
        ArgumentError: the model, the settings of the SAEs or one of the texts cannot work.
    """
    check_blocks(plan, language_model)
    language_model.check_seq_len(plan.seq_len)
    if language_model.hook not in TRAINED_ON:
        problem = f"cannot be replaced by what an SAE of it puts out; SAEs are trained on {', '.join(TRAINED_ON)}"
        raise InvalidArgument("hook", language_model.hook, problem)
    for factor in plan.expansion_factor:  # weights, gradients and Adam's two moments, of encoder and decoder
        needed = 4 * 4 * 2 * factor * language_model.d_model**2 * len(plan.layers) * len(plan.seeds)
        check_memory("expansion_factor", factor, needed)
    per_token = 4 * language_model.d_model * len(plan.layers)
    check_memory("buffer", plan.buffer.tokens, plan.buffer.tokens * per_token)
    check_memory("batch_tokens", plan.batch_tokens, plan.batch_tokens * per_token)
    saes = {
        each.name: SAEUnderTraining(
            new_sae(
                plan.architecture,
                plan.settings,
                language_model.d_model,
                each.d_sae,
                each.seed,
                plan.steps(plan.optimiser.sparsity_warm_up_fraction),
                _metadata(plan, each, language_model, corpus),
                plan.frozen_decoder,
            ),
            each.layer,
            plan.dead_after_tokens,
        )
        for each in plan.saes(language_model.d_model)
    }
    sequences = []
    for name, text, n_tokens in (("corpus", corpus, plan.n_tokens), ("held_out", held_out, plan.evaluation.n_tokens)):
        with renamed_arguments(path=name):
            sequences.append(tokenised(text, language_model, plan, n_tokens))
    stream = language_model.load(plan.dtype, with_head=True)
    data = ActivationDataModule(language_model, stream, plan, sequences[0], sequences[1], corpus.name)
    optimiser = plan.optimiser
    module = SAETraining(
        saes,
        plan.learning_rate,
        plan.steps(optimiser.warm_up_fraction),
        plan.steps(optimiser.decay_fraction),
        optimiser.function,
        plan.b_dec_init_method,
        plan.exclude_outliers,
        data.sample,
        data.held_out_text(),
    )
    return module, data


def fit(
    trainer: L.Trainer, module: SAETraining, data: ActivationDataModule, ckpt_path: str | Path | None = None
) -> None:
    """Train to the end, or until a callback stops the run.

    Raises:
        InvalidArgument: the loss has exploded, the model's activations are not finite, or the ranks cannot share
            batches and text out.
    """
    with renamed_arguments(learning_rate="optimiser.learning_rate", optimiser="optimiser.function"):
        try:
            trainer.fit(module, datamodule=data, ckpt_path=ckpt_path, weights_only=True)
        except NotFiniteError as error:
            fix = "choose another `dtype` (bfloat16, float32), or check the model's weights"
            problem = f"{error} in {data.plan.dtype}; {fix}"
            raise InvalidArgument("model", data.language_model.name, problem) from error


def finish(trainer: L.Trainer, module: SAETraining, data: ActivationDataModule) -> list[TrainedSAE]:
    """The SAEs for inference, measured on held-out text after the last step."""
    n_steps, plan = trainer.global_step, data.plan
    if module.evaluated_at != n_steps:
        trainer.validate(module, datamodule=data, verbose=False)
    n_tokens = plan.n_tokens if n_steps >= plan.n_steps else n_steps * plan.batch_tokens
    finished = []
    for each in plan.saes(data.language_model.d_model):
        quality = module.held_out[each.name]
        facts = {
            "n_training_tokens": n_tokens,
            "explained_variance": round(quality.explained_variance, 6),
            "l0": round(quality.l0, 4),
            "dead_fraction": round(quality.dead_fraction, 6),
            "cross_entropy_recovered": round(quality.cross_entropy_recovered, 6),
        }
        sae = inference_sae(module.saes[each.name].finish(), facts)
        finished.append(TrainedSAE(sae, each.name, each.layer, each.seed, each.d_sae, quality))
    return finished


def unfinished_saes(trainer: L.Trainer, module: SAETraining, plan: TrainingPlan) -> dict[str, SAE[Any]]:
    """The SAEs of a run that has been stopped, by name, as they are: not measured, and marked as not finished."""
    facts = {"finished": False, "n_training_tokens": trainer.global_step * plan.batch_tokens}
    return {name: inference_sae(each.finish(), facts) for name, each in module.saes.items()}


def quality_warnings(trained: TrainedSAE, plan: TrainingPlan, language_model: LanguageModel) -> list[str]:
    """Warnings about an SAE that explains little of the held-out text."""
    problems = misfit_warnings(
        trained.quality.explained_variance,
        f"layer {trained.layer} of {language_model.name}",
        first_tokens_count=not plan.exclude_bos,
        suspects="too few tokens (`n_tokens`), or a wrong `optimiser.learning_rate` or `settings`",
    )
    return [f"{trained.name} {problem}" for problem in problems]


def _as_text(name: str, given: Text | str | Path | Sequence[str]) -> Text:
    with renamed_arguments(path=name):
        return given if isinstance(given, Text) else Text(given)


def _metadata(plan: TrainingPlan, each: SAEPlan, language_model: LanguageModel, corpus: Text) -> dict[str, Any]:
    """What an SAE's own files say about where it comes from."""
    # TransformerLens's hook_mlp_in stands before the norm, its mlp.hook_in behind it.
    hook = "mlp.hook_in" if language_model.hook == Hook.mlp_in else f"hook_{language_model.hook}"
    return {
        "model_name": language_model.name,
        "hook_name": f"blocks.{each.layer}.{hook}",
        "dataset_path": corpus.name,
        "context_size": plan.seq_len,
        "seed": each.seed,
        "data_seed": plan.seed,
        "exclude_bos": plan.exclude_bos,
        "exclude_special_tokens": plan.exclude_special,
        "exclude_outliers": plan.exclude_outliers,
        "frozen_decoder": plan.frozen_decoder,
        "randomize": language_model.randomize,
        "randomize_seed": language_model.randomize_seed if language_model.randomize else None,
    }
