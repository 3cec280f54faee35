"""Labels → masks over steps: the one step convention of survlstm.

Discrete time runs in steps 0, 1, 2, … On the visit clock step j is the interval (time of visit j, time of visit j+1];
its hazard is ``h_j = P(event in step j | no event before step j, visits 0..j)``. A subject has ``step``, the index of
its last at-risk step, and ``event``, whether the event happened in that step:

====================================================  =====================
visits 0..n-1                                          label
====================================================  =====================
first qualifying code at visit k >= 1                  step k-1, event
first qualifying code at visit 0                       prevalent: left out
never, n visits                                        step n-2, censored
death after the last visit                             step n-1, event
====================================================  =====================

Censored in step k means "survived through k". A subject with no at-risk step has no follow-up and is left out.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def at_risk_mask(step: Int[Tensor, " subject"], *, steps: int) -> Bool[Tensor, "subject {steps}"]:
    """True at every step 0..``step`` of a subject: the steps that its likelihood is made of."""
    return torch.arange(steps, device=step.device)[None, :] <= step[:, None]


def event_mask(
    step: Int[Tensor, " subject"], event: Bool[Tensor, " subject"], *, steps: int
) -> Bool[Tensor, "subject {steps}"]:
    """True at the step in which the subject's event happened; nowhere for a censored subject."""
    return (torch.arange(steps, device=step.device)[None, :] == step[:, None]) & event[:, None]
