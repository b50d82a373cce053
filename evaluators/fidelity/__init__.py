"""Whether synthetic rows look like real ones."""
