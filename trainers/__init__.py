"""One file per generator, over `base` and `encoding`."""
