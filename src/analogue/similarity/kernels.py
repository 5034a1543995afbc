"""Which of `on_cpu` and `on_device` computes, by where a matrix lies."""

from types import ModuleType

from analogue.similarity.inputs import Array, is_tensor


def kernels(matrix: Array) -> ModuleType:
    """`on_cpu` or `on_device`: the steps for which NumPy and torch have no common name, or no common fast way."""
    if is_tensor(matrix):
        from analogue.similarity import on_device

        return on_device
    from analogue.similarity import on_cpu

    return on_cpu
