"""Activations to SAEs."""
