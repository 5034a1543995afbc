"""The settings of an SAE to train, checked against the types that SAELens gives its fields, and completed."""

from math import isfinite
from types import NoneType, UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from analogue.errors import UserError

KEY = "sae.settings"
WARM_UPS = ("l1_warm_up_steps", "l0_warm_up_steps")
DECIDED_ELSEWHERE = {"d_in": "model", "d_sae": "expansion_factor", "device": "trainer.accelerator"}
DIVISORS = ("jumprelu_bandwidth", "decoder_init_norm")
SHARES = "matryoshka_shares"
NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a name", NoneType: "null"}


def checked_settings(given: dict[str, Any], config_class: type, d_sae: int, warm_up_steps: int) -> dict[str, Any]:
    """The settings given, and those that follow from the run and the width.

    Args:
        config_class: SAELens's, of the architecture.
        warm_up_steps: of the sparsity loss, for architectures that have one.

    Raises:
        UserError: a setting that another key decides, or a value of the wrong type or range. Names that SAELens does
            not know are left for it to refuse.
    """
    types = get_type_hints(config_class)
    for name, value in given.items():
        if name in DECIDED_ELSEWHERE:
            raise UserError(f"{KEY}.{name}", value, f"is decided by {DECIDED_ELSEWHERE[name]}; set that")
        _check(name, value, types.get(name))
    settings = {name: warm_up_steps for name in WARM_UPS if name in types} | given
    if SHARES in settings:
        settings["matryoshka_widths"] = _widths(settings.pop(SHARES), d_sae)
    if not 0 < settings.get("k", 1) <= d_sae:
        raise UserError(f"{KEY}.k", settings["k"], f"must lie between 1 and the SAE's {d_sae} features")
    return settings


def _check(name: str, value: Any, hint: Any) -> None:
    if get_origin(hint) is Literal and value not in get_args(hint):
        raise UserError(f"{KEY}.{name}", value, f"is none of {', '.join(get_args(hint))}")
    kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    if not set(kinds) <= NAMES.keys():
        return  # a structure, or a name that SAELens refuses
    if type(value) not in kinds and not (type(value) is int and float in kinds):
        raise UserError(f"{KEY}.{name}", value, f"is not {' or '.join(NAMES[kind] for kind in kinds)}")
    if type(value) in (int, float) and not (value >= 0 and isfinite(value) and (value or name not in DIVISORS)):
        raise UserError(f"{KEY}.{name}", value, f"must be {'above' if name in DIVISORS else 'at least'} 0, and finite")


def _widths(shares: Any, d_sae: int) -> list[int]:
    """The numbers of features that reconstruct on their own."""
    fractions = isinstance(shares, list) and all(type(each) in (int, float) and 0 < each <= 1 for each in shares)
    if not (fractions and shares):
        raise UserError(f"{KEY}.{SHARES}", shares, "must be a list of fractions of d_sae, each above 0 and at most 1")
    return [round(each * d_sae) for each in shares]
