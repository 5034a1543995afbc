"""SAEs before, while and after they train: fresh weights, what training has to remember, and the SAE for inference."""

import os
from collections.abc import Mapping
from math import isfinite
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Self, get_args, get_origin, get_type_hints

import torch
from jaxtyping import Bool, Float
from sae_lens import SAE, TrainingSAE
from sae_lens.registry import SAE_TRAINING_CLASS_REGISTRY
from sae_lens.saes.sae import SAEMetadata, TrainCoefficientConfig, TrainStepInput
from torch import Tensor, nn

from analogue.atomic import set_usual_mode, temporary_beside
from analogue.errors import InvalidArgument
from analogue.options import DecoderBiasStart
from analogue.settings import default_k
from analogue.training.settings import SCALED_ONCE
from analogue.training.steps import can_step_directly, can_step_sparsely, standard_step, topk_step

CONFIG = "cfg.json"  # of SAELens
WARM_UPS = ("l1_warm_up_steps", "l0_warm_up_steps")
DECIDED_ELSEWHERE = {"d_in": "model", "d_sae": "expansion_factor", "device": "device"}
DIVISORS = ("jumprelu_bandwidth", "decoder_init_norm")
MEDIAN_ROUNDS = 100
SHARES = "matryoshka_shares"
TIED = "matching_pursuit"  # the one architecture of SAELens without an encoder of its own
NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a name", NoneType: "null"}


def new_sae(
    architecture: str,
    settings: Mapping[str, Any],
    d_in: int,
    d_sae: int,
    seed: int,
    sparsity_warm_up_steps: int,
    metadata: Mapping[str, Any],
    frozen_decoder: bool = False,
) -> TrainingSAE[Any]:
    """A SAELens training SAE with freshly drawn weights; the same seed draws the same ones.

    Args:
        architecture: one that SAELens trains.
        settings: fields of SAELens's training configuration for that architecture, and `matryoshka_shares`.
        sparsity_warm_up_steps: over which the coefficient of the sparsity loss rises, for architectures that have one.
        metadata: written into the SAE's `cfg.json`.
        frozen_decoder: control: keep the decoder as it is drawn, its rows of unit norm; the encoder starts as its
            transpose, and trains with all biases.

    Raises:
        InvalidArgument: an architecture or setting that SAELens does not know, or that cannot work.
    """
    if architecture not in SAE_TRAINING_CLASS_REGISTRY:
        known = ", ".join(sorted(SAE_TRAINING_CLASS_REGISTRY))
        raise InvalidArgument("architecture", architecture, f"is not known to SAELens; choose from {known}")
    if frozen_decoder and architecture == TIED:
        problem = f"leaves nothing to train but a bias: {TIED} encodes with its decoder; choose another `architecture`"
        raise InvalidArgument("frozen_decoder", True, problem)
    sae_class, config_class = SAE_TRAINING_CLASS_REGISTRY[architecture]
    if "k" in settings and settings["k"] is None:
        settings = {**settings, "k": min(default_k(d_in), d_sae)}
    checked = checked_settings(settings, config_class, d_sae, sparsity_warm_up_steps)
    try:
        config = config_class(d_in=d_in, d_sae=d_sae, **checked)
        config.metadata = SAEMetadata(**metadata)
        with torch.random.fork_rng(devices=[]):  # SAELens draws from the global generator
            torch.manual_seed(seed)
            sae = sae_class(config)
            return freeze_decoder(sae) if frozen_decoder else sae
    except (TypeError, ValueError) as error:
        raise InvalidArgument("settings", settings, f"does not fit {architecture} ({error})") from error


def freeze_decoder(sae: TrainingSAE[Any]) -> TrainingSAE[Any]:
    """Make decoder rows unit and let them stay; the encoder becomes their transpose."""
    with torch.no_grad():
        sae.W_dec.div_(sae.W_dec.norm(dim=-1, keepdim=True))
        sae.W_enc.copy_(sae.W_dec.T)
    sae.W_dec.requires_grad_(False)
    return sae


def checked_settings(
    given: Mapping[str, Any], config_class: type, d_sae: int, sparsity_warm_up_steps: int
) -> dict[str, Any]:
    """The settings given, checked against SAELens's types, and those that follow from the run and the width.

    Raises:
        InvalidArgument: a setting that another argument decides, or a value of the wrong type or range. Names that
            SAELens does not know are left for it to refuse.
    """
    types = get_type_hints(config_class)
    for name, value in given.items():
        if name in DECIDED_ELSEWHERE:
            raise InvalidArgument(f"settings.{name}", value, f"is decided by `{DECIDED_ELSEWHERE[name]}`; set that")
        _check_setting(name, value, types.get(name))
    settings = {name: sparsity_warm_up_steps for name in WARM_UPS if name in types} | dict(given)
    if SHARES in settings:
        settings["matryoshka_widths"] = _widths(settings.pop(SHARES), d_sae)
    if not 0 < settings.get("k", 1) <= d_sae:
        raise InvalidArgument("settings.k", settings["k"], f"must lie between 1 and the SAE's {d_sae} features")
    return settings


def _check_setting(name: str, value: Any, hint: Any) -> None:
    argument = f"settings.{name}"
    if get_origin(hint) is Literal and value not in get_args(hint):
        raise InvalidArgument(argument, value, f"is none of {', '.join(get_args(hint))}")
    kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    if not set(kinds) <= NAMES.keys():
        return  # a structure, or a name that SAELens refuses
    if type(value) not in kinds and not (type(value) is int and float in kinds):
        raise InvalidArgument(argument, value, f"is not {' or '.join(NAMES[kind] for kind in kinds)}")
    if type(value) in (int, float) and not (value >= 0 and isfinite(value) and (value or name not in DIVISORS)):
        raise InvalidArgument(argument, value, f"must be {'above' if name in DIVISORS else 'at least'} 0, and finite")


def _widths(shares: Any, d_sae: int) -> list[int]:
    """The numbers of features that reconstruct on their own."""
    is_list = isinstance(shares, list | tuple) and len(shares) > 0
    if not (is_list and all(type(each) in (int, float) and 0 < each <= 1 for each in shares)):
        problem = "must be a list of fractions of d_sae, each above 0 and at most 1"
        raise InvalidArgument(f"settings.{SHARES}", shares, problem)
    return [round(each * d_sae) for each in shares]


class SAEUnderTraining(nn.Module):
    """An SAE, what it reads of the residual stream, and when its features last fired; all of it is in a checkpoint.

    Args:
        sae: with fresh weights.
        layer: whose residual stream it reads.
        dead_after_tokens: tokens without firing after which a feature counts as dead.

    Attributes:
        has_frozen_decoder: whether the decoder stays as it was drawn, see `new_sae`.
    """

    input_scale: Tensor
    largest_norm: Tensor
    n_outliers: Tensor
    tokens_since_fired: Tensor
    n_fired: Tensor
    n_tokens: Tensor

    def __init__(self, sae: TrainingSAE[Any], layer: int, dead_after_tokens: int) -> None:
        super().__init__()
        self.sae = sae
        self.layer = layer
        self.dead_after_tokens = dead_after_tokens
        self._excludes_outliers: bool | None = None
        self.register_buffer("input_scale", torch.tensor(torch.nan))  # not estimated yet
        self.register_buffer("largest_norm", torch.tensor(torch.inf))
        self.register_buffer("n_outliers", torch.zeros((), dtype=torch.int64))
        self.register_buffer("tokens_since_fired", torch.zeros(sae.cfg.d_sae, dtype=torch.int64))
        self.register_buffer("n_fired", torch.zeros(sae.cfg.d_sae, dtype=torch.int64))
        self.register_buffer("n_tokens", torch.zeros((), dtype=torch.int64))

    @classmethod
    def from_hyperparameters(cls, values: Mapping[str, Any]) -> Self:
        """An SAE of that shape, whose weights are not drawn: a checkpoint will provide them."""
        with torch.random.fork_rng(devices=[]):
            sae: TrainingSAE[Any] = TrainingSAE.from_dict(dict(values["sae"]))
        sae.W_dec.requires_grad_(not values["frozen_decoder"])
        return cls(sae, values["layer"], values["dead_after_tokens"])

    def hyperparameters(self) -> dict[str, Any]:
        """Plain values from which `from_hyperparameters` rebuilds it."""
        of_run = {"layer": self.layer, "dead_after_tokens": self.dead_after_tokens}
        return {"sae": self.sae.cfg.to_dict(), "frozen_decoder": self.has_frozen_decoder} | of_run

    @property
    def has_frozen_decoder(self) -> bool:
        """Whether the decoder keeps its random rows."""
        return not self.sae.W_dec.requires_grad

    @property
    def dead(self) -> Bool[Tensor, " d_sae"]:
        """Features that have not fired on the last `dead_after_tokens` tokens."""
        return self.tokens_since_fired > self.dead_after_tokens

    @property
    def density(self) -> Float[Tensor, " d_sae"]:
        """On which share of the tokens each feature has fired since `reset_density`."""
        return self.n_fired / self.n_tokens.clamp(min=1)

    def reset_density(self) -> None:
        """Count firings from zero."""
        self.n_fired.zero_()
        self.n_tokens.zero_()

    @property
    def scales_input(self) -> bool:
        """Whether the SAE asks for a scale of its input."""
        return self.sae.cfg.normalize_activations == SCALED_ONCE

    @torch.no_grad()
    def start(
        self,
        resid: Float[Tensor, "n_tokens d_in"],
        b_dec_init_method: str = DecoderBiasStart.zeros,
        exclude_outliers: float | None = None,
    ) -> None:
        """Fit what the SAE starts from to a sample of its input.

        Outliers go first: an attention sink is no feature, and a handful of them holds most of the variance. The
        decoder's bias starts at the centre of what is left: where it starts at zeros, the few features that point
        along the mean win on every token, and the others get no gradient. The input is scaled, if it is, so that the
        mean distance from that centre is sqrt(d_in).

        Args:
            resid: the sample.
            b_dec_init_method: `mean`, `geometric_median` or `zeros`.
            exclude_outliers: leave out tokens whose norm is more than this many times the median; None for none.
        """
        if exclude_outliers is not None:
            self._excludes_outliers = True
            self.largest_norm.fill_(exclude_outliers * float(resid.double().norm(dim=-1).median()))
            resid = resid[self.is_counted(resid)]
        centre = centre_of(resid, b_dec_init_method)
        distance = float((resid.double() - centre).norm(dim=-1).mean())
        self.input_scale.fill_(self.sae.cfg.d_in**0.5 / distance if self.scales_input else 1.0)
        shift = (centre * self.input_scale).to(self.sae.b_dec)
        of_decoder, *of_encoder = self.biases
        of_decoder.add_(shift)
        if not self.sae.cfg.apply_b_dec_to_input:  # the encoder's biases take over the subtraction
            for bias in of_encoder:
                bias.sub_(shift @ self.sae.W_enc)

    @property
    def biases(self) -> list[nn.Parameter]:
        """The decoder's bias, then those of the encoder, whose names depend on the architecture."""
        return [getattr(self.sae, name) for name in ("b_dec", "b_enc", "b_gate", "b_mag") if hasattr(self.sae, name)]

    def is_counted(self, resid: Float[Tensor, "*tokens d_in"]) -> Bool[Tensor, "*tokens"]:
        """False for outliers."""
        return resid.float().norm(dim=-1) <= self.largest_norm

    def forward(self, resid: Float[Tensor, "n_tokens d_in"], step: int) -> Any:
        """One training forward pass; returns SAELens's `TrainStepOutput`."""
        coefficients = {name: _at_step(value, step) for name, value in self.sae.get_coefficients().items()}
        inputs = TrainStepInput(resid * self.input_scale, coefficients, self.dead, step, is_logging_step=False)
        if can_step_sparsely(self.sae):
            return topk_step(self.sae, inputs)
        if can_step_directly(self.sae):
            return standard_step(self.sae, inputs)
        return self.sae.training_forward_pass(inputs)

    @torch.no_grad()
    def count(self, n_fired: Tensor, n_tokens: int) -> None:
        """Note how often each feature fired on a batch (of all ranks)."""
        self.n_fired += n_fired
        self.n_tokens += n_tokens
        self.tokens_since_fired += n_tokens
        self.tokens_since_fired[n_fired > 0] = 0

    def without_outliers(self, resid: Float[Tensor, "n_tokens d_in"]) -> Float[Tensor, "n_counted d_in"]:
        """The tokens that count, on which it trains and is measured."""
        if self._excludes_outliers is None:  # looked up once: at every step, a GPU would be waited for
            self._excludes_outliers = bool(self.largest_norm.isfinite())
        return resid[self.is_counted(resid)] if self._excludes_outliers else resid

    def reconstruct(self, resid: Float[Tensor, "n_tokens d_in"]) -> tuple[Tensor, Tensor]:
        """Reconstruction and feature activations of input as the model gives it."""
        acts = self.sae.encode(resid * self.input_scale)
        return self.sae.decode(acts) / self.input_scale, acts

    def finish(self) -> TrainingSAE[Any]:
        """Fold the input scale into the weights, so that the SAE reads the residual stream as it is."""
        if self.scales_input:
            self.sae.fold_activation_norm_scaling_factor(float(self.input_scale))
            self.input_scale.fill_(1.0)
        return self.sae


def centre_of(resid: Float[Tensor, "n_tokens d_in"], method: str) -> Float[Tensor, " d_in"]:
    """The mean of some tokens, their geometric median (Weiszfeld's algorithm), or zeros; in float64."""
    exact = resid.double()
    if method == DecoderBiasStart.zeros:
        return exact.new_zeros(exact.shape[-1])
    centre = exact.mean(0)
    if method == DecoderBiasStart.mean:
        return centre
    for _ in range(MEDIAN_ROUNDS):
        weights = 1 / (exact - centre).norm(dim=-1).clamp(min=torch.finfo(exact.dtype).tiny)
        moved = (weights @ exact) / weights.sum()
        if float((moved - centre).norm()) <= 1e-6 * float(centre.norm()):
            return moved
        centre = moved
    return centre


def _at_step(coefficient: float | TrainCoefficientConfig, step: int) -> float:
    """A coefficient that rises linearly from 0 over its warm-up steps, as SAELens's scheduler has it."""
    if not isinstance(coefficient, TrainCoefficientConfig):
        return coefficient
    return coefficient.value * min(1.0, step / coefficient.warm_up_steps if coefficient.warm_up_steps else 1.0)


def inference_sae(trained: TrainingSAE[Any], facts: Mapping[str, Any]) -> SAE[Any]:
    """The SAE that SAELens would write to disk and read back, on the CPU; it shares the trained weights.

    Args:
        facts: added to its metadata.
    """
    weights = {name: value.cpu() for name, value in trained.state_dict().items()}
    trained.process_state_dict_for_saving_inference(weights)
    sae = SAE.from_dict(trained.cfg.get_inference_sae_cfg_dict() | {"device": "meta"})
    sae.process_state_dict_for_loading(weights)
    sae.load_state_dict(weights, assign=True)
    sae.cfg.device = "cpu"
    sae.to("cpu")  # updates the device that SAELens keeps, `meta` until here
    for name, value in facts.items():
        setattr(sae.cfg.metadata, name, value)
    return sae.eval().requires_grad_(False)


def save_sae(sae: SAE[Any], directory: Path) -> None:
    """Write an SAE in SAELens's format: each file atomically, the configuration, which makes them an SAE, last."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / CONFIG).unlink(missing_ok=True)  # an old one must not vouch for new weights
    with temporary_beside(directory / CONFIG) as temporary:
        temporary.mkdir()
        for file in sae.save_model(temporary):
            set_usual_mode(file)
            os.replace(file, directory / file.name)
