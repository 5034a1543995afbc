"""The pairing rules by the names that configurations and records use."""

from collections.abc import Callable
from difflib import get_close_matches

from analogue.matching.cosine import cosine
from analogue.matching.greedy import greedy
from analogue.matching.hungarian import hungarian
from analogue.matching.optimal_transport import optimal_transport
from analogue.matching.pairs import FeaturePairs
from analogue.matching.rules import max_correlation, mutual

# Takes acts_a, acts_b and direction; what else a rule takes, bind with functools.partial.
PairingRule = Callable[..., FeaturePairs]

RULES: dict[str, PairingRule] = {
    "max_correlation": max_correlation,
    "mutual": mutual,
    "greedy": greedy,
    "hungarian": hungarian,
    "optimal_transport": optimal_transport,
    "cosine": cosine,  # needs decoder_a and decoder_b too
}


def pairing_rule(name: str) -> PairingRule:
    """The rule of that name.

    Raises:
        ValueError: there is none; the message names the closest and lists all.
    """
    if name in RULES:
        return RULES[name]
    close = get_close_matches(name, RULES, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]}? " if close else ""
    raise ValueError(f"unknown pairing rule {name!r}: {hint}known are {', '.join(RULES)}")
