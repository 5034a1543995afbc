"""What an SAE was trained to read, where that is not the model's own stream."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from analogue.options import Hook
from analogue.saes.files import Unreadable
from analogue.saes.sites import CENTRED, sae_site

CENTRING = "center_writing_weights"
MODEL_SETTINGS = "model_from_pretrained_kwargs"
OF_NO_EFFECT = {
    "attn_implementation",
    "cache_dir",
    "center_unembed",
    "default_padding_side",
    "default_prepend_bos",
    "device",
    "device_map",
    "dtype",
    "first_n_layers",
    "fold_ln",
    "fold_value_biases",
    "low_cpu_mem_usage",
    "move_to_device",
    "n_ctx",
    "n_devices",
    "refactor_factored_attn_matrices",
    "token",
    "torch_dtype",
    "trust_remote_code",
    "use_auth_token",
}
"""Arguments of TransformerLens's `from_pretrained` that leave the residual stream as it is."""

OF_REVISION = {"revision", "checkpoint_index", "checkpoint_value"}
CHANGED_BY = {
    "fold_ln": {Hook.mlp_in},
    "fold_value_biases": {Hook.attn_z},
    "refactor_factored_attn_matrices": {Hook.attn_z},
}
"""Those that change other sites."""


@dataclass
class CentredInput:
    """Subtracts each token's mean over d_model, before whatever else the SAE does to its input.

    TransformerLens centres the weights that write to the residual stream of models with LayerNorm, which changes no
    output of the model: the stream's mean over d_model is then zero.
    """

    then: Callable[[Tensor], Tensor]

    def __call__(self, x: Float[Tensor, "... d_in"]) -> Float[Tensor, "... d_in"]:
        """Take each vector minus the mean of its entries."""
        return self.then(x - x.mean(dim=-1, keepdim=True))


def model_settings(sae: Any) -> dict[str, Any]:
    """How TransformerLens loaded the model that an SAE was trained on, as far as its metadata tell."""
    settings = sae.cfg.metadata.get(MODEL_SETTINGS) or {}
    return {name: value for name, value in settings.items() if value not in (None, False)}


def check_model_settings(sae: Any) -> None:
    """Raise `Unreadable` where the SAE was trained on activations that the model does not have here."""
    site = sae_site(sae)
    for name, value in model_settings(sae).items():
        if name not in OF_NO_EFFECT | OF_REVISION | {CENTRING}:
            raise Unreadable(f"was trained on a model loaded with {name}={value}, and what that changes is not known")
        if site and site.hook in CHANGED_BY.get(name, ()):
            raise Unreadable(f"was trained on a model loaded with {name}={value}, which changes its {site.hook}")


def wants_centring(sae: Any) -> bool:
    """Whether an SAE was trained on a centred stream, if its model has LayerNorm, and does not centre it itself yet."""
    site = sae_site(sae)
    return CENTRING in model_settings(sae) and (site is None or site.hook in CENTRED) and not is_centred(sae)


def centre_input(sae: Any) -> None:
    """Let an SAE subtract each token's mean over d_model from what it reads."""
    sae.run_time_activation_norm_fn_in = CentredInput(sae.run_time_activation_norm_fn_in)


def is_centred(sae: Any) -> bool:
    """Whether an SAE subtracts the mean over d_model from what it reads."""
    return isinstance(getattr(sae, "run_time_activation_norm_fn_in", None), CentredInput)


def target_of(sae: Any, read: Float[Tensor, "n d_in"], written: Float[Tensor, "n d_out"] | None = None) -> Tensor:
    """What an SAE is to reconstruct: what it reads, centred if it reads that centred; of a transcoder, what is written.

    Args:
        sae: of SAELens.
        read: the activations at its site.
        written: those at the site that a transcoder predicts.
    """
    if written is not None:
        return written
    return read - read.mean(dim=-1, keepdim=True) if is_centred(sae) else read


def reconstruction_of(sae: Any, read: Float[Tensor, "n d_in"], acts: Float[Tensor, "n d_sae"]) -> Tensor:
    """What an SAE makes of the activations that it has encoded, with the skip connection of a transcoder."""
    decoded: Tensor = sae.decode(acts)
    return decoded + read.to(decoded.dtype) @ sae.W_skip.T if hasattr(sae, "W_skip") else decoded
