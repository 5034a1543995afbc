"""Activations to pairs."""
from analogue.matching.partners import BestPartners, best_partners

__all__ = ["BestPartners", "best_partners"]
