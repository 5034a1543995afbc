"""The comparison of two feature spaces, conducted."""
