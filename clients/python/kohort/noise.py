"""Noise schemes 1 and 2: the random numbers of any unit, the same on every machine.

Words are those of Philox4x64-10 (Salmon et al., "Parallel random numbers: as
easy as 1, 2, 3", SC 2011) as `numpy.random.Philox` counts them. A block of
units owns one counter range; within it unit u owns words [u W, (u + 1) W).
A unit's uniforms come first, then its normals.

Each 64-bit word gives two uniforms (k + 1/2) 2^-23, first with k = bits 63..41,
then with k = bits 31..9: exact in float32 and strictly inside (0, 1).

Scheme 1 goes on from there: for each two normals a pair (a, b), by Box and Muller:

    r² = -2 ln a,   x = ((b's k mod 2^22) + 1/2) 2^-22 - 1/2,
    normals  ± r cos πx,  ± r sin πx,   minus where the top bit of b's k is set.

Every step is one correctly rounded float32 operation (+ - * / √) in a fixed
order, with logarithm and sine as the polynomials below, so that normals too are
equal bit for bit on every processor and in every language. They lie within
1e-6 of the exact transform and reach |z| = 5.77.

Scheme 2 begins its normals with a word of their own, and each word gives four:
entries of the table in `kohort.quantiles`, at bits 15..0 first, then 31..16,
47..32 and 63..48. It costs much less. There are 65,536 normals, no more: their
distribution function is within 2^-16 of the exact one everywhere, their
variance is 1, their fourth moment 2.9998, and none lies beyond |z| = 4.39, the
mean of the outermost cells, each of which stands for 1 in 65,536. That does for
the latent of a network; what reads the tail itself takes scheme 1.

Where there are no normals, both schemes give the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from kohort.problem import Problem
from kohort.quantiles import normal_table

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]

SCHEMES = (1, 2)
MAX_BLOCK = 1024
MAX_UNIT = 1 << 53
"""Units are below this number: exact in a double, so in every client language."""

_WORD = (1 << 64) - 1
_MULTIPLIERS, _WEYL = (0xD2E7470EE14C6C93, 0xCA5A826395121157), (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
# sin(πx) = x P(x²) on [-1/2, 1/2]; Chebyshev fit, error 5e-9 before rounding.
_SINE = tuple(map(np.float32, (3.1415927, -5.1677103, 2.5500774, -0.5982913, 0.07765766)))
# -2 ln m = s (-4 + s² Q(s²)) with s = (m - 1) / (m + 1), m in [√½, √2).
_LOG = tuple(map(np.float32, (-4.0, -1.3333337, -0.799775, -0.59161997)))
_MINUS_2_LN_2 = np.float32(-1.3862944)
_SQRT_HALF_BITS = np.int32(0x3F3504F3)
_ONE_BITS = np.int32(0x3F800000)
# Temporary arrays of this many words stay in a core's caches; of fewer, calls take longer than their work.
_CHUNK = 16_384


def check_units(start: int, count: int) -> None:
    """Raises Problem UNIT_OUT_OF_RANGE unless 0 <= start <= start + count <= 2^53."""
    if start < 0 or count < 0 or start + count > MAX_UNIT:
        raise Problem.at("UNIT_OUT_OF_RANGE", "start_unit", "units lie in [0, 2^53)")


def words_per_unit(uniforms: int, normals: int, scheme: int = 1) -> int:
    """64-bit words that a unit owns."""
    if scheme == 2:
        return (uniforms + 1) // 2 + (normals + 3) // 4
    return (uniforms + (normals + 1) // 2 * 2 + 1) // 2


def block_noise(
    seed: int,
    stream: int,
    block: int,
    block_size: int,
    uniforms: int,
    normals: int,
    scheme: int = 1,
    out: tuple[Floats, Floats] | None = None,
) -> tuple[Floats, Floats]:
    """The noise of units [block * block_size, (block + 1) * block_size).

    Args:
        seed: any int64; taken modulo 2^64.
        stream: tells apart the graphs of one program.
        block: the number of the block.
        block_size: units per block, at most 1,024.
        uniforms: uniforms per unit.
        normals: normals per unit.
        scheme: 1 or 2.
        out: what is returned, to be filled; new arrays by default.

    Returns:
        Uniforms [block_size, uniforms] and normals [block_size, normals].
    """
    generator = np.random.Philox(key=_key(seed, stream), counter=_counter(0, block, 0, 0))
    if out is None:
        out = np.empty((block_size, uniforms), np.float32), np.empty((block_size, normals), np.float32)
    _draw(generator, *out, scheme)
    return out


@dataclass(frozen=True)
class Substream:
    """Random numbers that one attempt at one unit owns; each call draws further ones."""

    generator: np.random.Philox
    scheme: int = 1

    def uniforms(self, count: int) -> Floats:
        """Uniforms in (0, 1), [count]."""
        found = np.empty((1, count), np.float32)
        _draw(self.generator, found, np.empty((1, 0), np.float32), self.scheme)
        return found.ravel()

    def normals(self, count: int) -> Floats:
        """Standard normals, [count]."""
        found = np.empty((1, count), np.float32)
        _draw(self.generator, np.empty((1, 0), np.float32), found, self.scheme)
        return found.ravel()


def substreams(
    seed: int,
    units: npt.NDArray[np.int64],
    attempts: npt.NDArray[np.int64],
    stream: int,
    uniforms: int,
    normals: int,
    scheme: int = 1,
) -> tuple[Floats, Floats]:
    """The first noise of many substreams at once: row i is `substream(seed, units[i], attempts[i], stream)`
    read as one unit of a block is.

    Returns:
        Uniforms [n, uniforms] and normals [n, normals].
    """
    words = words_per_unit(uniforms, normals, scheme)
    flat, curved = np.empty((units.size, uniforms), np.float32), np.empty((units.size, normals), np.float32)
    step = max(1, _CHUNK // max(words, 1))
    for start in range(0, units.size, step):
        part = slice(start, start + step)
        raw = _philox(_key(seed, stream), units[part], attempts[part], words)
        _read(raw, flat[part], curved[part], scheme)
    return flat, curved


def substream(seed: int, unit: int, attempt: int = 0, stream: int = 0, scheme: int = 1) -> Substream:
    """What unit `unit` draws by itself: rejection, lengths, steps of a loop.

    The last word of the counter keeps it apart from every block.
    """
    return Substream(np.random.Philox(key=_key(seed, stream), counter=_counter(0, unit, attempt, 1)), scheme)


def _key(seed: int, stream: int) -> npt.NDArray[np.uint64]:
    return np.array([seed & _WORD, stream & _WORD], dtype=np.uint64)


def _counter(*words: int) -> npt.NDArray[np.uint64]:
    return np.array(words, dtype=np.uint64)


def _draw(generator: np.random.Philox, flat: Floats, curved: Floats, scheme: int) -> None:
    """Fills uniforms [n, uniforms] and normals [n, normals]."""
    rows, words = len(flat), words_per_unit(flat.shape[1], curved.shape[1], scheme)
    step = max(1, _CHUNK // max(words, 1))
    for start in range(0, rows, step):
        some = min(step, rows - start)
        part = slice(start, start + some)
        raw = np.asarray(generator.random_raw(some * words), dtype="<u8")
        _read(raw.reshape(some, words), flat[part], curved[part], scheme)


def _read(raw: npt.NDArray[np.uint64], flat: Floats, curved: Floats, scheme: int) -> None:
    """Words [n, w] as uniforms and normals, into `flat` and `curved`."""
    if scheme == 2:
        first = (flat.shape[1] + 1) // 2
        if first:
            # Side by side, since operations on short rows take longer than copies of them.
            flat[...] = _uniform(_bits(np.ascontiguousarray(raw[:, :first])))[:, : flat.shape[1]]
        if curved.shape[1]:
            places = raw[:, first:].view("<u2")[:, : curved.shape[1]].astype(np.intp)
            # Every place is inside; to wrap is the quickest way of not being asked.
            np.take(normal_table(), places, out=curved, mode="wrap")
        return
    uniforms, pairs = flat.shape[1], (curved.shape[1] + 1) // 2
    bits = _bits(raw)
    flat[...] = _uniform(bits[:, :uniforms])
    if pairs:
        # Halves side by side make every later pass a contiguous one.
        left, right = np.ascontiguousarray(
            bits[:, uniforms : uniforms + 2 * pairs].reshape(len(raw), pairs, 2).transpose(2, 0, 1)
        )
        _box_muller(left, right, curved)


def _bits(raw: npt.NDArray[np.uint64]) -> Ints:
    """The 23 bits of every half word [n, w] for a uniform, [n, 2 w]: those of the high half first."""
    half = np.uint64(32)
    # Halves change places by words: to read them backwards from memory takes longer.
    swapped = (raw << half).astype("<u8", copy=False)
    swapped |= raw >> half
    bits = swapped.view("<u4")
    bits >>= np.uint32(9)
    return bits.view(np.int32)


def _philox(
    key: npt.NDArray[np.uint64], units: npt.NDArray[np.int64], attempts: npt.NDArray[np.int64], words: int
) -> npt.NDArray[np.uint64]:
    """The first words of the substreams' generators, [n, words]: what numpy's own gives one at a time."""
    blocks, shape = -(-words // 4), (units.size, -(-words // 4))
    # numpy counts up before it draws, so the first block has number 1.
    x0 = np.broadcast_to(np.arange(1, blocks + 1, dtype=np.uint64), shape).copy()
    x1 = np.repeat(units.astype(np.uint64), blocks).reshape(shape)
    x2 = np.repeat(attempts.astype(np.uint64), blocks).reshape(shape)
    x3 = np.ones(shape, np.uint64)
    k0, k1 = int(key[0]), int(key[1])
    for _ in range(10):
        high0, low0 = _product(x0, _MULTIPLIERS[0])
        high1, low1 = _product(x2, _MULTIPLIERS[1])
        high1 ^= x1
        high1 ^= np.uint64(k0)
        high0 ^= x3
        high0 ^= np.uint64(k1)
        x0, x1, x2, x3 = high1, low1, high0, low0
        k0, k1 = (k0 + _WEYL[0]) & _WORD, (k1 + _WEYL[1]) & _WORD
    found = np.stack([x0, x1, x2, x3], axis=2).reshape(units.size, 4 * blocks)[:, :words]
    return np.ascontiguousarray(found, dtype="<u8")


def _product(x: npt.NDArray[np.uint64], factor: int) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """High and low word of x times a constant, by halves."""
    low_half, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    b, a = np.uint64(factor & 0xFFFFFFFF), np.uint64(factor >> 32)
    d, c = x & low_half, x >> half
    middle = d * b
    middle >>= half
    middle += c * b
    high = middle >> half
    middle &= low_half
    d *= a
    middle += d
    middle >>= half
    high += middle
    c *= a
    high += c
    return high, x * np.uint64(factor)


def _uniform(k: Ints) -> Floats:
    """(k + 1/2) 2^-23 for 23-bit k, exactly: 1 + k 2^-23 is put together from bits."""
    found = np.bitwise_or(k, _ONE_BITS).view(np.float32)
    found += np.float32(2.0**-24 - 1)
    return found


def _box_muller(first: Ints, second: Ints, out: Floats) -> None:
    radius = _radius(_uniform(first))
    sign = np.left_shift(second, 9)
    sign &= np.int32(-(1 << 31))
    radius.view(np.int32)[...] ^= sign
    # The low 22 bits as 1 + j 2^-22, then the angle's fraction x in (-1/2, 1/2).
    angle = np.left_shift(second, 1)
    angle &= np.int32(0x7FFFFF)
    angle |= _ONE_BITS
    x = np.empty((2, *first.shape), np.float32)
    np.add(angle.view(np.float32), np.float32(2.0**-23 - 1.5), out=x[1])
    np.abs(x[1], out=x[0])
    np.subtract(np.float32(0.5), x[0], out=x[0])  # cos πx = sin π(1/2 - |x|)
    sines = _horner(_SINE, np.multiply(x, x))
    sines *= x
    sines *= radius
    out[:, 0::2] = sines[0]
    out[:, 1::2] = sines[1][:, : out.shape[1] // 2]


def _radius(uniform: Floats) -> Floats:
    """√(-2 ln u) by u = m 2^e with m in [√½, √2)."""
    bits = uniform.view(np.int32)
    exponent = np.subtract(bits, _SQRT_HALF_BITS)
    exponent >>= 23
    mantissa = np.subtract(bits, np.left_shift(exponent, 23)).view(np.float32)
    s = np.subtract(mantissa, np.float32(1))
    mantissa += np.float32(1)
    s /= mantissa
    square = _horner(_LOG, np.multiply(s, s, out=mantissa))
    square *= s
    scaled: Any = exponent.astype(np.float32)
    scaled *= _MINUS_2_LN_2
    square += scaled
    return np.sqrt(square, out=square)


def _horner(coefficients: tuple[np.float32, ...], z: Floats) -> Floats:
    total = np.multiply(z, coefficients[-1])
    for coefficient in coefficients[-2:0:-1]:
        total += coefficient
        total *= z
    total += coefficients[0]
    return total
