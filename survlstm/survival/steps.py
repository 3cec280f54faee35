"""Labels → masks over steps: the one step convention of survlstm.

Discrete time runs in steps 0, 1, 2, … A subject has ``step``, the index of its last at-risk step, and ``event``,
whether the event happened in that step. On the visit clock step j is the interval (time of visit j, time of visit j+1];
its hazard is ``h_j = P(event in step j | no event before step j, visits 0..j)``:

====================================================  =====================
visits 0..n-1                                          label
====================================================  =====================
first qualifying code at visit k >= 1                  step k-1, event
first qualifying code at visit 0                       prevalent: left out
never, n visits                                        step n-2, censored
death after the last visit                             step n-1, event
====================================================  =====================

On the landmark clock step k is the interval (edge_k, edge_k+1] days after the subject's landmark, k < K, with edge 0
the landmark itself; its hazard is ``h_k = P(event in step k | no event before step k, the visits dated on or before the
landmark)``, the same history for every step. Who is not at risk at the landmark is left out. The others:

====================================================  =====================
days from the landmark                                 label
====================================================  =====================
event in (edge_k, edge_k+1]                            step k, event
end of follow-up in [edge_k+1, edge_k+2)               step k, censored
end of follow-up before edge_1                         no step: left out
event or end of follow-up behind edge_K                step K-1, censored
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
