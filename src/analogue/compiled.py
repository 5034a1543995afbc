"""Functions that numba compiles and, where it can write a cache, keeps for later processes."""

from collections.abc import Callable
from typing import Any


def compiled(**options: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile a function to run without Python's lock; what is compiled is kept for the next process.

    Numba keeps it beside the code or in the user's cache directory. Where it can write to neither, as in a container
    that is run by another user, every process compiles for itself.

    Args:
        options: further arguments of `numba.njit`.
    """
    from numba import njit  # takes a while to load

    def compile_function(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            return njit(cache=True, nogil=True, **options)(function)
        except RuntimeError:  # there is no place for a cache
            return njit(nogil=True, **options)(function)

    return compile_function
