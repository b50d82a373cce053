"""Fidelity, utility, privacy and fairness of synthetic tables."""
