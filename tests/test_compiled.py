import numba.core.caching
import pytest

from analogue.compiled import compiled


def double(x):
    return 2 * x


def test_functions_are_compiled_where_there_is_no_place_to_keep_them(monkeypatch):
    monkeypatch.setattr(numba.core.caching.CacheImpl, "_locator_classes", [])
    with pytest.raises(RuntimeError, match="no locator"):
        numba.njit(cache=True)(double)
    assert compiled()(double)(21) == 42
