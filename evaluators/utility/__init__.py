"""Whether one can work with synthetic rows instead of real ones."""
