"""Runnable comparisons, each prints a table of ratios."""
