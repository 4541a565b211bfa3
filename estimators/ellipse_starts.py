"""Starting points for the phase of an ellipse: algebraic and geometric fits.

    p1 = b1 + (C1/2) sin(phi + theta),   p2 = b2 + (C2/2) sin(phi - theta),

theta unknown in every shot. Neither fit is the answer: the bias of the conic does not
fall with the number of shots, the geometric fit ignores the counting statistics. Data
that carry no ellipse give a start that says so, not an exception.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

_FEWEST = 6
_FOLD_ZONE = 0.15


@dataclass(frozen=True, slots=True)
class EllipseFit:
    """A starting point.

    Attributes:
        phase: phi in [0, pi/2], radians; pi/4 when nothing could be fitted.
        contrasts: (C1, C2), peak to peak, in the unit of the data.
        offsets: (b1, b2).
        residual: root mean square distance to the ellipse, in the unit of the data.
        flag: why the fit cannot be trusted; "" when it can.
    """

    phase: float
    contrasts: tuple[float, float]
    offsets: tuple[float, float]
    residual: float
    flag: str = ""

    @property
    def usable(self) -> bool:
        """Whether the fit converged on data that carry an ellipse."""
        return not self.flag


def fold(phase: float) -> float:
    """The phase in [0, pi/2] with the same statistics: P(phi) = P(-phi) = P(pi - phi)."""
    wrapped = math.fmod(abs(phase), math.pi)
    return math.pi - wrapped if wrapped > math.pi / 2.0 else wrapped


def fit_conic(p1: ArrayLike, p2: ArrayLike) -> EllipseFit:
    """Direct least-squares conic, constrained to ellipses, with cos 2phi = sign(A) B/(2 sqrt(AC)).

    Args:
        p1, p2: (shots,) signals of the two ensembles, any common unit.
    """
    x, y, refusal = _signals(p1, p2)
    if refusal is not None:
        return refusal
    scale = max(float(x.std()), float(y.std()))
    mean_x, mean_y = float(x.mean()), float(y.mean())
    u, v = (x - mean_x) / scale, (y - mean_y) / scale
    conic = _constrained_conic(u, v)
    if conic is None:
        return _flagged(x, y, "the data determine no ellipse")
    a, b, c, d, e, f = conic
    determinant = 4.0 * a * c - b * b
    centre_u = (b * e - 2.0 * c * d) / determinant
    centre_v = (b * d - 2.0 * a * e) / determinant
    level = a * centre_u**2 + b * centre_u * centre_v + c * centre_v**2 - f
    half_u, half_v = 4.0 * c * level / determinant, 4.0 * a * level / determinant
    if half_u <= 0.0 or half_v <= 0.0:
        return _flagged(x, y, "the data determine no real ellipse")
    cosine = math.copysign(1.0, a) * b / (2.0 * math.sqrt(a * c))
    phase = 0.5 * math.acos(min(1.0, max(-1.0, cosine)))
    parameters = np.array(
        [
            phase,
            2.0 * scale * math.sqrt(half_u),
            2.0 * scale * math.sqrt(half_v),
            mean_x + scale * centre_u,
            mean_y + scale * centre_v,
        ]
    )
    return _as_fit(parameters, _rms(_nearest(parameters, x, y)[0]))


def fit_geometric(p1: ArrayLike, p2: ArrayLike, start: EllipseFit | None = None) -> EllipseFit:
    """Least squares of the distance to the ellipse, theta free in every shot.

    Started from the conic, and from both sides where that lies near a fold.

    Args:
        p1, p2: (shots,) signals of the two ensembles, any common unit.
        start: another start in place of the conic.
    """
    x, y, refusal = _signals(p1, p2)
    if refusal is not None:
        return refusal
    first = start if start is not None else fit_conic(x, y)
    contrasts = first.contrasts if first.usable else _spread(x, y)
    offsets = first.offsets if first.usable else (float(x.mean()), float(y.mean()))
    best: tuple[float, Array] | None = None
    for phase in _start_phases(first):
        guess = np.array([phase, *contrasts, *offsets])
        found = _descend(guess, x, y)
        if best is None or found[0] < best[0]:
            best = found
    if best is None or not np.all(np.isfinite(best[1])):
        return _flagged(x, y, "the geometric fit did not converge")
    return _as_fit(best[1], best[0])


def _signals(p1: ArrayLike, p2: ArrayLike) -> tuple[Array, Array, EllipseFit | None]:
    x = np.atleast_1d(np.asarray(p1, dtype=np.float64))
    y = np.atleast_1d(np.asarray(p2, dtype=np.float64))
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(
            "Arguments `p1` and `p2` must both have shape (shots,), but have "
            f"{x.shape} and {y.shape}."
        )
    good = np.isfinite(x) & np.isfinite(y)
    x, y = x[good], y[good]
    if x.size < _FEWEST:
        return x, y, _flagged(x, y, f"{x.size} usable shots; an ellipse needs {_FEWEST}")
    tiny = 1e-12 * max(1.0, float(np.abs(x).max()), float(np.abs(y).max()))
    if x.std() <= tiny or y.std() <= tiny:
        return x, y, _flagged(x, y, "the signal of an ensemble does not vary")
    return x, y, None


def _flagged(x: Array, y: Array, reason: str) -> EllipseFit:
    offsets = (float(x.mean()), float(y.mean())) if x.size else (0.0, 0.0)
    return EllipseFit(math.pi / 4.0, _spread(x, y), offsets, 0.0, reason)


def _spread(x: Array, y: Array) -> tuple[float, float]:
    """Contrasts from the variances: Var = C^2/8 for a uniform theta."""
    if x.size == 0:
        return (0.0, 0.0)
    return (math.sqrt(8.0) * float(x.std()), math.sqrt(8.0) * float(y.std()))


def _constrained_conic(u: Array, v: Array) -> Array | None:
    """Coefficients of the least-squares conic with 4AC - B^2 = 1, by the reduced 3x3 problem."""
    quadratic = np.column_stack([u * u, u * v, v * v])
    linear = np.column_stack([u, v, np.ones_like(u)])
    s1, s2, s3 = quadratic.T @ quadratic, quadratic.T @ linear, linear.T @ linear
    try:
        eliminate = -np.linalg.solve(s3, s2.T)
        reduced = s1 + s2 @ eliminate
        reduced = np.array([reduced[2] / 2.0, -reduced[1], reduced[0] / 2.0])
        _, vectors = np.linalg.eig(reduced)
    except np.linalg.LinAlgError:
        return None
    vectors = np.real(vectors)
    elliptic = 4.0 * vectors[0] * vectors[2] - vectors[1] ** 2
    if not np.any(elliptic > 1e-14):
        return None
    chosen = vectors[:, int(np.argmax(elliptic))]
    conic: Array = np.concatenate([chosen, eliminate @ chosen]).astype(np.float64)
    return conic


def _start_phases(first: EllipseFit) -> list[float]:
    if not first.usable:
        return [0.05, 0.3, math.pi / 4.0, math.pi / 2.0 - 0.3, math.pi / 2.0 - 0.05]
    phases = [first.phase]
    if first.phase < _FOLD_ZONE:
        phases += [0.02, 2.0 * _FOLD_ZONE]
    if first.phase > math.pi / 2.0 - _FOLD_ZONE:
        phases += [math.pi / 2.0 - 0.02, math.pi / 2.0 - 2.0 * _FOLD_ZONE]
    return phases


def _curve(parameters: Array, theta: Array) -> tuple[Array, Array, Array, Array]:
    """The point on the ellipse and its derivative by theta."""
    phi, c1, c2, b1, b2 = parameters
    up, down = phi + theta, phi - theta
    return (
        b1 + 0.5 * c1 * np.sin(up),
        b2 + 0.5 * c2 * np.sin(down),
        0.5 * c1 * np.cos(up),
        -0.5 * c2 * np.cos(down),
    )


def _nearest(parameters: Array, x: Array, y: Array) -> tuple[Array, Array, Array, Array]:
    """Signed distance of every shot, its theta, and the normal there."""
    grid = np.linspace(-math.pi, math.pi, 72, endpoint=False)
    ex, ey, _, _ = _curve(parameters, grid)
    theta = grid[np.argmin((x[:, None] - ex) ** 2 + (y[:, None] - ey) ** 2, axis=1)]
    for _ in range(6):
        ex, ey, tx, ty = _curve(parameters, theta)
        rx, ry = x - ex, y - ey
        slope = rx * tx + ry * ty
        bend = tx * tx + ty * ty + rx * (ex - parameters[3]) + ry * (ey - parameters[4])
        bend = np.maximum(bend, 0.3 * (tx * tx + ty * ty) + 1e-300)
        theta = theta + np.clip(slope / bend, -0.2, 0.2)
    ex, ey, tx, ty = _curve(parameters, theta)
    length = np.maximum(np.hypot(tx, ty), 1e-300)
    nx, ny = ty / length, -tx / length
    return (x - ex) * nx + (y - ey) * ny, theta, nx, ny


def _descend(guess: Array, x: Array, y: Array) -> tuple[float, Array]:
    """Damped Gauss-Newton on the distances; theta follows by the envelope theorem."""
    parameters = guess.copy()
    distance, theta, nx, ny = _nearest(parameters, x, y)
    damping = 1e-3
    for _ in range(40):
        phi, c1, c2, _, _ = parameters
        up, down = phi + theta, phi - theta
        jacobian = np.column_stack(
            [
                nx * 0.5 * c1 * np.cos(up) + ny * 0.5 * c2 * np.cos(down),
                nx * 0.5 * np.sin(up),
                ny * 0.5 * np.sin(down),
                nx,
                ny,
            ]
        )
        normal = jacobian.T @ jacobian
        weight = np.diag(damping * np.diag(normal) + 1e-12 * np.trace(normal))
        step = np.linalg.lstsq(normal + weight, jacobian.T @ distance, rcond=None)[0]
        trial = parameters + step
        found = _nearest(trial, x, y)
        if _rms(found[0]) < _rms(distance):
            gain = 1.0 - _rms(found[0]) / _rms(distance)
            parameters, (distance, theta, nx, ny) = trial, found
            damping = max(1e-9, 0.2 * damping)
            if gain < 1e-9:
                break
        else:
            damping *= 10.0
            if damping > 1e6:
                break
    return _rms(distance), parameters


def _rms(values: Array) -> float:
    return math.sqrt(float(np.mean(values * values)))


def _as_fit(parameters: Array, residual: float) -> EllipseFit:
    phi, c1, c2, b1, b2 = (float(value) for value in parameters)
    if c1 * c2 < 0.0:  # flipping one contrast is the same ellipse at pi/2 - phi
        phi = math.pi / 2.0 - phi
    return EllipseFit(fold(phi), (abs(c1), abs(c2)), (b1, b2), residual)
