"""Strings and lists as packed bytes, without a loop over cells where it can be helped."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Lengths = npt.NDArray[np.int64]


def utf8(strings: npt.NDArray[np.object_]) -> tuple[Bytes, Lengths]:
    """All strings as UTF-8, one after another, and the length of each in bytes."""
    joined = "".join(strings)
    if joined.isascii():
        lengths = np.fromiter(map(len, strings), np.int64, len(strings))
        return np.frombuffer(joined.encode(), np.uint8), lengths
    encoded = [string.encode() for string in strings]
    lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
    return np.frombuffer(b"".join(encoded), np.uint8), lengths


def interleave(prefixes: Bytes, blob: Bytes, lengths: Lengths) -> bytes:
    """Row i of `prefixes` [n, p], then the next `lengths[i]` bytes of `blob`, for every i."""
    count, width = prefixes.shape
    if not count:
        return b""
    if (lengths == lengths[0]).all():
        out = np.empty((count, width + int(lengths[0])), np.uint8)
        out[:, :width] = prefixes
        out[:, width:] = blob.reshape(count, -1)
        return out.tobytes()
    flat = np.empty(prefixes.size + blob.size, np.uint8)
    starts = np.cumsum(lengths) - lengths + np.arange(count) * width
    flat[starts[:, None] + np.arange(width)] = prefixes
    flat[np.arange(blob.size) + np.repeat(np.arange(1, count + 1) * width, lengths)] = blob
    return flat.tobytes()
