"""Two ensembles with single-spin decay: the second-order cumulant expansion.

Each atom decays on its own at gamma besides the collective decay Gamma,

    d rho/dt = -i[H, rho] + Gamma D[S1^- + S2^-] rho + gamma sum_j D[sigma_j^-] rho,
    H = Omega (S1x + S2x) + (Delta/2)(S1z - S2z),

and means of one and two atoms are kept, three-atom means being closed by
<ABC> = <AB><C> + <AC><B> + <BC><A> - 2<A><B><C> (Chu App. E). The 27 moments are six means
<sigma>, six pairs inside each ensemble and nine pairs across; Chu lists <sigma^z sigma^z>
twice, the second is <sigma^z sigma^x>. For one atom per ensemble nothing is left out and
the equations are exact.

From any state with x1 = -x2, y1 = y2, z1 = z2 (all atoms down, for one) the mirror
x1 -> -x2, y1 -> y2, z1 -> z2 is conserved, and 15 of the 27 moments are enough; the
trajectories use that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._checks import dimension_of, finite, not_negative, positive

Array = NDArray[np.float64]
Row = Any  # a sequence or the first axis of an array; its entries floats or arrays

MOMENTS = (
    *("x1", "y1", "z1", "x2", "y2", "z2"),
    *("xx1", "yy1", "zz1", "xy1", "xz1", "yz1"),
    *("xx2", "yy2", "zz2", "xy2", "xz2", "yz2"),
    *("Cxx", "Cxy", "Cxz", "Cyx", "Cyy", "Cyz", "Czx", "Czy", "Czz"),
)
"""Order of the 27 moments; Cpq is <sigma_1^p sigma_2^q>, xy1 a pair inside ensemble 1."""

HALF_MOMENTS = (
    *("x", "y", "z", "xx", "yy", "zz", "xy", "xz", "yz"),
    *("Cxx", "Cyy", "Czz", "Cxy", "Cxz", "Cyz"),
)
"""Order of the 15 moments of a mirror-symmetric state (those of ensemble 1, then across)."""

_PAIRS = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))


@dataclass(frozen=True, slots=True)
class DecayingEnsembles:
    """Parameters of the pair with single-spin decay, angular rates in one unit.

    Args:
        spin: S of each ensemble (2S atoms), a positive multiple of 1/2.
        rabi_frequency: common drive Omega, above zero.
        detuning_difference: Delta, ensemble 1 at +Delta/2, ensemble 2 at -Delta/2.
        single_spin_decay: gamma of every atom, not negative.
        collective_decay: Gamma, above zero.

    Raises:
        ValueError: on any value outside these rules.
    """

    spin: float
    rabi_frequency: float
    detuning_difference: float
    single_spin_decay: float = 0.0
    collective_decay: float = 1.0

    def __post_init__(self) -> None:
        dimension_of(self.spin)
        positive(self.rabi_frequency, "rabi_frequency")
        finite(self.detuning_difference, "detuning_difference")
        not_negative(self.single_spin_decay, "single_spin_decay")
        positive(self.collective_decay, "collective_decay")

    @property
    def atoms(self) -> int:
        """2S, the number of atoms in each ensemble."""
        return round(2.0 * self.spin)

    @property
    def detuning_ratio(self) -> float:
        """Delta/Omega."""
        return float(self.detuning_difference / self.rabi_frequency)

    @property
    def cooperativity(self) -> float:
        """C = Gamma/gamma; infinite without single-spin decay."""
        if self.single_spin_decay == 0.0:
            return float("inf")
        return float(self.collective_decay / self.single_spin_decay)


def all_down() -> Array:
    """The 27 moments of all atoms down."""
    moments = np.zeros(27)
    for name in ("z1", "z2"):
        moments[MOMENTS.index(name)] = -1.0
    for name in ("zz1", "zz2", "Czz"):
        moments[MOMENTS.index(name)] = 1.0
    return moments


def pack_moments(
    one_body: ArrayLike, inside1: ArrayLike, inside2: ArrayLike, across: ArrayLike
) -> Array:
    """Put tables of moments (rows and columns x, y, z) into one row of 27.

    Args:
        one_body: (2, 3) means <sigma_a>.
        inside1, inside2: (3, 3) symmetric, pairs inside each ensemble.
        across: (3, 3), <sigma_1^p sigma_2^q>.

    Raises:
        ValueError: on other shapes, or when an inside table is not symmetric.
    """
    single = _table(one_body, (2, 3), "one_body")
    parts = [single.ravel()]
    for value, name in ((inside1, "inside1"), (inside2, "inside2")):
        table = _table(value, (3, 3), name)
        if not np.array_equal(table, table.T):
            raise ValueError(f"Argument `{name}` must be symmetric, but is {table.tolist()!r}.")
        parts.append(np.array([table[p, q] for p, q in _PAIRS]))
    return np.concatenate([*parts, _table(across, (3, 3), "across").ravel()])


def unpack_moments(moments: ArrayLike) -> tuple[Array, Array, Array, Array]:
    """The tables (one_body, inside1, inside2, across) of a row of 27; undoes `pack_moments`."""
    row = _table(moments, (27,), "moments")
    tables = []
    for start in (6, 12):
        table = np.empty((3, 3))
        for (p, q), value in zip(_PAIRS, row[start : start + 6], strict=True):
            table[p, q] = table[q, p] = value
        tables.append(table)
    return row[:6].reshape(2, 3), tables[0], tables[1], row[18:].reshape(3, 3)


def moment_rates(
    moments: ArrayLike, parameters: DecayingEnsembles | Sequence[DecayingEnsembles]
) -> Array:
    """Time derivatives of the 27 moments (Chu App. E, all equations).

    Args:
        moments: (27,) or (27, n) in the order `MOMENTS`; any values.
        parameters: of all columns, or a sequence of n, one for each column.

    Returns:
        The rates in the shape of `moments`, in the unit of the parameters' rates.

    Raises:
        ValueError: when the shapes do not fit.
    """
    rows = np.asarray(moments, dtype=np.float64)
    count = None if isinstance(parameters, DecayingEnsembles) else len(parameters)
    if rows.ndim not in (1, 2) or rows.shape[0] != 27 or (rows.ndim == 1 and count is not None):
        raise ValueError(
            "Argument `moments` must have shape (27,), or (27, n) with one parameter set or n of "
            f"them, but has shape {rows.shape}."
        )
    if count is not None and count != rows.shape[1]:
        raise ValueError(
            f"Argument `parameters` must hold {rows.shape[1]} sets, one for each column of "
            f"`moments`, but holds {count}."
        )
    return np.stack(full_moment_rates(rows, rate_columns(parameters)))


def full_moment_rates(rows: Row, rates: tuple[Any, ...]) -> tuple[Any, ...]:
    """Rates of the 27 moments in plain arithmetic, and with exchange between the ensembles.

    Args:
        rows: 27 numbers or equally shaped arrays in the order `MOMENTS`.
        rates: (N, Omega, Delta/2, Gamma, gamma, s), see `rate_columns`. The exchange
            (i chi/2)(S1^+ S2^- - S1^- S2^+) lets ensemble 1 feel the field of ensemble 2 with
            Gamma - chi and ensemble 2 that of 1 with Gamma + chi: s = -chi/Gamma.
    """
    one, two, pairs1, pairs2, c = rows[0:3], rows[3:6], rows[6:12], rows[12:18], rows[18:]
    across = tuple(c)
    turned = (c[0], c[3], c[6], c[1], c[4], c[7], c[2], c[5], c[8])
    exchanged = (*rates[:2], -rates[2], *rates[3:5], -rates[5])
    first = _half_rates(one, pairs1, two, pairs2, across, rates)
    second = _half_rates(two, pairs2, one, pairs1, turned, exchanged)
    xx, yy, zz, xy, xz, yz = first[9:]
    yx, zx, zy = second[12:]
    single = (*first[:3], *second[:3], *first[3:9], *second[3:9])
    return (*single, xx, xy, xz, yx, yy, yz, zx, zy, zz)


def half_moment_rates(half: Row, rates: tuple[Any, ...]) -> tuple[Any, ...]:
    """Rates of the 15 moments of a mirror-symmetric state, on plain floats or on arrays.

    Args:
        half: 15 numbers or equally shaped arrays in the order `HALF_MOMENTS`.
        rates: (N, Omega, Delta/2, Gamma, gamma, 0), see `rate_columns`; exchange would break
            the mirror.
    """
    x, y, z, xx, yy, zz, xy, xz, yz, cxx, cyy, czz, cxy, cxz, cyz = half
    across = (cxx, cxy, cxz, -cxy, cyy, cyz, -cxz, cyz, czz)
    pairs = (xx, yy, zz, xy, xz, yz)
    mirrored = (xx, yy, zz, -xy, -xz, yz)
    return _half_rates((x, y, z), pairs, (-x, y, z), mirrored, across, rates)


def rate_columns(parameters: DecayingEnsembles | Sequence[DecayingEnsembles]) -> tuple[Any, ...]:
    """(N, Omega, Delta/2, Gamma, gamma, 0): floats of one set, or arrays over several.

    The last says by how much more than with Gamma an ensemble feels the field of the other, in
    units of Gamma: zero without exchange.
    """
    if isinstance(parameters, DecayingEnsembles):
        p = parameters
        return (
            float(p.atoms),
            float(p.rabi_frequency),
            0.5 * p.detuning_difference,
            float(p.collective_decay),
            float(p.single_spin_decay),
            0.0,
        )
    return tuple(np.array([rate_columns(p) for p in parameters]).T)


def _half_rates(
    own: Row, pairs: Row, other: Row, other_pairs: Row, across: Row, rates: tuple[Any, ...]
) -> tuple[Any, ...]:
    """Rates of one ensemble's means and pairs, and of xx, yy, zz, xy, xz, yz across.

    Written in plain arithmetic so that it runs on floats (one trajectory) and on arrays
    (many). With p, q the marked atoms and k one of the rest, the closed sums over the rest
    factor: (pair - 2 p q) field_k + q g_pk + p g_qk.
    """
    inside = _inside_rates(own, pairs, other, across, rates)
    return inside + _across_rates(own, pairs, other, other_pairs, across, rates)


def _inside_rates(
    own: Row, pairs: Row, other: Row, across: Row, rates: tuple[Any, ...]
) -> tuple[Any, ...]:
    """Rates of x, y, z, xx, yy, zz, xy, xz, yz of one ensemble (Chu App. E, 1-18)."""
    n, omega, delta, collective, single, skew = rates
    x, y, z = own
    xx, yy, zz, xy, xz, yz = pairs
    u, v, _ = other
    cxx, cxy, cxz, cyx, cyy, cyz, czx, czy, czz = across
    h, g = 0.5 * collective, 0.5 * (collective + single)
    g2, g3, m, o = 2.0 * g, 3.0 * g, n - 2.0, n * (1.0 + skew)

    # the other atoms' field and their correlation with a marked atom, k = x, y
    fx, fy = m * x + o * u, m * y + o * v
    gxx, gyx, gzx = m * xx + o * cxx, m * xy + o * cyx, m * xz + o * czx
    gxy, gyy, gzy = m * xy + o * cxy, m * yy + o * cyy, m * yz + o * czy
    # pairs less twice the product of their means
    kxx, kyy, kxy = xx - 2.0 * x * x, yy - 2.0 * y * y, xy - 2.0 * x * y
    kxz, kyz, kzz = xz - 2.0 * x * z, yz - 2.0 * y * z, zz - 2.0 * z * z
    s_zxx = kxz * fx + x * gzx + z * gxx
    s_zyy = kyz * fy + y * gzy + z * gyy
    s_zyx = kyz * fx + y * gzx + z * gyx
    s_zxy = kxz * fy + x * gzy + z * gxy
    pull_x = kzz * fx - kxx * fx - kxy * fy + 2.0 * (z * gzx - x * gxx) - y * gxy - x * gyy
    pull_y = kzz * fy - kxy * fx - kyy * fy + 2.0 * (z * gzy - y * gyy) - x * gyx - y * gxx
    return (
        -delta * y - g * x + h * ((n - 1.0) * xz + o * czx),
        delta * x - omega * z - g * y + h * ((n - 1.0) * yz + o * czy),
        omega * y - g2 * (1.0 + z) - h * ((n - 1.0) * (xx + yy) + o * (cxx + cyy)),
        -2.0 * delta * xy - g2 * xx + collective * (z + zz + s_zxx),
        2.0 * (delta * xy - omega * yz) - g2 * yy + collective * (z + zz + s_zyy),
        2.0 * (omega * yz - g2 * (z + zz)) + collective * (xx + yy - s_zxx - s_zyy),
        delta * (xx - yy) - omega * xz - g2 * xy + h * (s_zyx + s_zxy),
        -delta * yz + omega * xy - g3 * xz - g2 * x - h * (x + 2.0 * xz - pull_x),
        delta * xz + omega * (yy - zz) - g3 * yz - g2 * y - h * (y + 2.0 * yz - pull_y),
    )


def _across_rates(
    own: Row, pairs: Row, other: Row, other_pairs: Row, across: Row, rates: tuple[Any, ...]
) -> tuple[Any, ...]:
    """Rates of xx, yy, zz, xy, xz, yz across, first letter `own` (Chu App. E, 19-27)."""
    n, omega, delta, collective, single, skew = rates
    x, y, z = own
    xx, yy, _, xy, xz, yz = pairs
    u, v, w = other
    uu, vv, _, uv, uw, vw = other_pairs
    cxx, cxy, cxz, cyx, cyy, cyz, czx, czy, czz = across
    h, g = 0.5 * collective, 0.5 * (collective + single)
    g2, g3, h1 = 2.0 * g, 3.0 * g, h * (n - 1.0)
    p, q = 1.0 + skew, 1.0 - skew  # the other's field where own turns, and where other turns

    rxx, rxy, rxz = cxx - 2.0 * x * u, cxy - 2.0 * x * v, cxz - 2.0 * x * w
    ryx, ryy, ryz = cyx - 2.0 * y * u, cyy - 2.0 * y * v, cyz - 2.0 * y * w
    rzx, rzy, rzz = czx - 2.0 * z * u, czy - 2.0 * z * v, czz - 2.0 * z * w
    # own turns: one of the remaining n - 1 atoms of either ensemble, k = x, y
    ex, ey = x + p * u, y + p * v
    azx, azy, bzx, bzy = xz + p * czx, yz + p * czy, cxz + p * uw, cyz + p * vw
    bxx, bxy, byy = cxx + p * uu, cxy + p * uv, cyy + p * vv
    own_xx = rzx * ex + u * azx + z * bxx
    own_yy = rzy * ey + v * azy + z * byy
    own_xy = rzy * ex + v * azx + z * bxy
    own_xz = rzz * ex + w * azx + z * bzx
    own_yz = rzz * ey + w * azy + z * bzy
    u_zz = rxz * ex + ryz * ey + w * (xx + yy + p * (cxx + cyy)) + x * bzx + y * bzy
    # other turns
    ex, ey = q * x + u, q * y + v
    axx, ayx, axy, ayy = q * xx + cxx, q * xy + cyx, q * xy + cxy, q * yy + cyy
    bzx, bzy = q * cxz + uw, q * cyz + vw
    bxx, byy = q * cxx + uu, q * cyy + vv
    azx, azy = q * xz + czx, q * yz + czy
    u_zz = u_zz + rzx * ex + rzy * ey + u * azx + v * azy + z * (bxx + byy)
    u_xx = own_xx + rxz * ex + w * axx + x * bzx
    u_yy = own_yy + ryz * ey + w * ayy + y * bzy
    u_xy = own_xy + rxz * ey + w * axy + x * bzy
    turn_x = own_xz - rxx * ex - rxy * ey - u * axx - v * axy - x * (bxx + byy)
    turn_y = own_yz - ryx * ex - ryy * ey - u * ayx - v * ayy - y * (bxx + byy)
    fed = collective * (0.5 * (p * z + q * w) + czz)
    swing, twist = omega * (cyz + czy), delta * (cxy - cyx)
    lost_x, lost_y = h * (q * u + 2.0 * czx), h * (q * v + 2.0 * czy)
    return (
        twist - g2 * cxx + fed + h1 * u_xx,
        twist - swing - g2 * cyy + fed + h1 * u_yy,
        swing - g2 * (2.0 * czz + z + w) + collective * (cxx + cyy) - h1 * u_zz,
        -delta * (cyy + cxx) - omega * cxz - g2 * cxy + h1 * u_xy,
        -delta * cyz + omega * cxy - g3 * cxz - g2 * x - lost_x + h1 * turn_x,
        delta * cxz + omega * (cyy - czz) - g3 * cyz - g2 * y - lost_y + h1 * turn_y,
    )


def _table(value: ArrayLike, shape: tuple[int, ...], name: str) -> Array:
    table = np.asarray(value, dtype=np.float64)
    if table.shape != shape or not np.all(np.isfinite(table)):
        raise ValueError(
            f"Argument `{name}` must hold finite numbers in shape {shape}, "
            f"but has shape {table.shape}."
        )
    return table
