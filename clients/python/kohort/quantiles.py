"""The 65,536 normals of noise scheme 2, equal bit for bit on every machine.

The standard normal is cut into 65,536 cells of equal probability; entry i is
the mean of cell i, all of them scaled to variance 1 (by less than 1 + 1e-6).
With p_j = j / 65,536, x_j the quantile of p_j and φ the density, that mean is

    65,536 (φ(x_i) - φ(x_{i+1})),   φ at both infinities being 0.

Quantiles are those of Wichura, "Algorithm AS 241: the percentage points of the
normal distribution", Applied Statistics 37 (1988). Every step is one correctly
rounded float64 operation (+ - * / √, or exact) in a fixed order, logarithm and
exponential the series below, and the last one rounds to float32.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

SIZE = 1 << 16
_LN_2 = 0.6931471805599453
_DENSITY_AT_0 = 0.3989422804014327
# AS 241, PPND16: numerators and denominators, constant first. Their names are the paper's.
_A = (
    3.3871328727963666080e0,
    1.3314166789178437745e2,
    1.9715909503065514427e3,
    1.3731693765509461125e4,
    4.5921953931549871457e4,
    6.7265770927008700853e4,
    3.3430575583588128105e4,
    2.5090809287301226727e3,
)
_B = (
    1.0,
    4.2313330701600911252e1,
    6.8718700749205790830e2,
    5.3941960214247511077e3,
    2.1213794301586595867e4,
    3.9307895800092710610e4,
    2.8729085735721942674e4,
    5.2264952788528545610e3,
)
_C = (
    1.42343711074968357734e0,
    4.63033784615654529590e0,
    5.76949722146069140550e0,
    3.64784832476320460504e0,
    1.27045825245236838258e0,
    2.41780725177450611770e-1,
    2.27238449892691845833e-2,
    7.74545014278341407640e-4,
)
_D = (
    1.0,
    2.05319162663775882187e0,
    1.67638483018380384940e0,
    6.89767334985100004550e-1,
    1.48103976427480074590e-1,
    1.51986665636164571966e-2,
    5.47593808499534494600e-4,
    1.05075007164441684324e-9,
)


@cache
def normal_table() -> Floats:
    """The means in rising order, [65,536], read-only; entry 65,535 - i is minus entry i."""
    share = np.arange(1, SIZE // 2 + 1) / SIZE  # of what lies above the quantile
    density = _density(_quantile(share))
    edges = np.concatenate([[0.0], density])
    means = (edges[1:] - edges[:-1]) * SIZE  # the largest first
    squares = means * means
    while squares.size > 1:  # halves keep the order of the sum the same everywhere
        squares = squares[: squares.size // 2] + squares[squares.size // 2 :]
    means = means / np.sqrt(squares[0] / (SIZE // 2))
    table = np.concatenate([-means, means[::-1]]).astype(np.float32)
    table.flags.writeable = False
    return table


def _quantile(share: Doubles) -> Doubles:
    """What a standard normal exceeds with that probability, in [2^-16, 1/2]: there AS 241 needs two of its
    three pieces."""
    middle = 0.5 - share
    near = 0.180625 - middle * middle
    inner = middle * _ratio(_A, _B, near)
    far = np.sqrt(_minus_log(share)) - 1.6
    return np.where(middle <= 0.425, inner, _ratio(_C, _D, far))


def _density(x: Doubles) -> Doubles:
    return _exp_minus(x * x / 2) * _DENSITY_AT_0


def _minus_log(x: Doubles) -> Doubles:
    """-ln x by x = m 2^e, m in [1/2, 1), and ln m = 2 artanh s with s = (m - 1) / (m + 1)."""
    m, e = np.frexp(x)
    s = (m - 1) / (m + 1)
    series = _polynomial(tuple(1 / k for k in range(1, 41, 2)), s * s)
    return np.asarray(-(e * _LN_2 + 2 * s * series))


def _exp_minus(y: Doubles) -> Doubles:
    """e^-y by y = k ln 2 - r with |r| at most half of ln 2."""
    k = np.floor(y / _LN_2 + 0.5)
    r = k * _LN_2 - y
    terms = [1.0]
    for n in range(1, 15):
        terms.append(terms[-1] / n)
    return np.ldexp(_polynomial(tuple(terms), r), -k.astype(np.int64))


def _ratio(numerator: tuple[float, ...], denominator: tuple[float, ...], z: Doubles) -> Doubles:
    return _polynomial(numerator, z) / _polynomial(denominator, z)


def _polynomial(coefficients: tuple[float, ...], z: Doubles) -> Doubles:
    total = np.full_like(z, coefficients[-1])
    for coefficient in coefficients[-2::-1]:
        total = total * z + coefficient
    return total
