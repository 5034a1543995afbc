"""Do different language models learn the same features? Pair, score and test SAE feature spaces."""

__version__ = "0.1.0"
