"""Tensors and a landmark → who is at risk there, what is known of them by then, and what follows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int64


class AtRisk(NamedTuple):
    """The subjects of one split who are still at risk at a landmark.

    ``subject`` numbers the subjects of the tensors, ``visit`` their visits: the last one known at the landmark.
    ``step`` is the last at-risk step counted from the landmark (0 = the first), ``event`` whether the event is in it.
    ``duration`` is the time from the landmark to the event or the end of follow-up, in the landmark's unit. Counted in
    steps, an event in step k has k + 1, and a subject censored in step k has k + 1.5: it survived k + 1 steps, so that
    it is known at that horizon and hidden behind it.
    """

    subject: Int64[np.ndarray, " subject"]
    visit: Int64[np.ndarray, " subject"]
    step: Int64[np.ndarray, " subject"]
    event: Bool[np.ndarray, " subject"]
    duration: Float64[np.ndarray, " subject"]


@dataclass(frozen=True)
class Landmark:
    """One question to every contender: S(t) after the landmark, from what is known there, for t in ``grid``.

    ``grid[k]`` is the end of step k after the landmark: 1, 2, … on the visit clock, the ends of the intervals in days
    on the landmark clock. ``horizons`` are those of the grid that the tables show.
    """

    name: str
    unit: Literal["steps", "days"]
    train: AtRisk
    val: AtRisk
    test: AtRisk
    grid: Float64[np.ndarray, " horizon"]
    horizons: Float64[np.ndarray, " shown"]
