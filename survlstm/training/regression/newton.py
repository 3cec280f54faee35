"""Newton's method for the penalised likelihoods of regressions with many columns."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float64

NEWTON_STEPS = 100
CONJUGATE_STEPS = 250
SHORTEST_STEP = 2.0**-30


class NotConvergedError(ValueError):
    """A search for a minimum ended before it was found; the message says how far it was."""


class Expansion(NamedTuple):
    """Value and derivatives of a convex function at one point.

    Attributes:
        value: The value; infinite where the function is not finite, and the other attributes are then not read.
        gradient: The gradient.
        times_hessian: Computes the product of the Hessian with a vector.
        diagonal: Diagonal of the Hessian, at least 0, for columns of very different scales; None to do without.
    """

    value: float
    gradient: Float64[np.ndarray, " column"]
    times_hessian: Callable[[Float64[np.ndarray, " column"]], Float64[np.ndarray, " column"]]
    diagonal: Float64[np.ndarray, " column"] | None = None


def minimise(
    expand: Callable[[Float64[np.ndarray, " column"]], Expansion],
    point: Float64[np.ndarray, " column"],
    *,
    tolerance: float,
) -> Float64[np.ndarray, " column"]:
    """Minimise a convex function by Newton steps, each solved by conjugate gradients and halved as needed.

    Args:
        expand: The function.
        point: Where to start.
        tolerance: Length of the gradient at which the search ends.

    Returns:
        The point of the minimum.

    Raises:
        NotConvergedError: If the gradient is longer than that after ``NEWTON_STEPS`` steps.
    """
    here = expand(point)
    for _ in range(NEWTON_STEPS):
        length = float(np.linalg.norm(here.gradient))
        if length <= tolerance:
            return point
        # More accurate close to the minimum, but not more than the tolerance needs.
        direction = _direction(here, accuracy=max(min(0.1, length), tolerance / (2 * length)))
        slope, step, rounding = here.gradient @ direction, 1.0, 1e-13 * (1 + abs(here.value))
        there = expand(point + direction)
        while there.value > here.value + 1e-4 * step * slope + rounding and step > SHORTEST_STEP:
            step /= 2
            there = expand(point + step * direction)
        point, here = point + step * direction, there
    raise NotConvergedError(
        f"a regression must converge within {NEWTON_STEPS} Newton steps; the gradient still has length "
        f"{np.linalg.norm(here.gradient):.1e}. Standardise the columns of the design or use a stronger penalty"
    )


def _direction(here: Expansion, *, accuracy: float) -> Float64[np.ndarray, " column"]:
    from scipy.sparse import diags_array
    from scipy.sparse.linalg import LinearOperator, cg

    columns = len(here.gradient)
    hessian = LinearOperator((columns, columns), matvec=here.times_hessian, dtype=np.float64)
    scale = None
    if here.diagonal is not None:
        # A direction in which the function is constant has no slope, so that any scale will do.
        scale = diags_array(1 / np.where(here.diagonal > 0, here.diagonal, 1.0))
    # A direction that is cut short still descends.
    return cg(hessian, -here.gradient, rtol=accuracy, atol=0.0, maxiter=CONJUGATE_STEPS, M=scale)[0]
