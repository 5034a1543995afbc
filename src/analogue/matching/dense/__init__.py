"""The correlation engine for dense activations: pre-activations, raw residual-stream coordinates.

The steps, in the order in which the data meets them: `stream` reads both sides in chunks of tokens, `moments` takes
means and norms, `tiles` multiplies and finds the candidates, `scores` correlates those exactly and ranks them.
"""

from analogue.matching.dense.partners import best_partners_dense
from analogue.matching.dense.stream import TokenChunks

__all__ = ["TokenChunks", "best_partners_dense"]
