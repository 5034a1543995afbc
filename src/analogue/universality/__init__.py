"""Many spaces: which features are in all of them, which in some, which in one.

links.py         two spaces: best partners, tested against permuted sequences
clusters.py      links -> clusters with at most one feature of a space
stability.py     the same clusters on resampled sequences
spectrum.py      in how many spaces features are, and would be by chance; exclusive features
changes.py       from a space to the next: splits and merges
among_spaces.py  a tree and a map of spaces
features.py      `cluster_features`: from activations to a table of clusters
"""

from analogue.universality.features import cluster_features

__all__ = ["cluster_features"]
