"""Evaluation: fidelity, utility, privacy attacks and fairness of synthetic rows, and the report."""
