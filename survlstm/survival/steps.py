"""Step convention of survlstm: the index of a subject's last at-risk step, the event flag, and the masks made of them.

Time is divided into steps 0, 1, 2, …  The hazard of step j is the probability of the event in step j, given that it has
not happened in an earlier step and given the history at the start of the step::

    h_j = P(event in step j | no event before step j, history at the start of step j)

A step is an interval that excludes its start and includes its end. Steps are counted on one of three clocks. Two of
them are:

===================  ===================================  =============================================================
property             visit clock                          landmark clock, K intervals
===================  ===================================  =============================================================
interval of a step   j: (time of visit j, time of         k: (edge_k, edge_k+1] days after the subject's landmark,
                     visit j+1]                           for k = 0 … K-1; edge_0 = 0 is the landmark itself
history              visits 0 … j                         visits dated on or before the landmark, for every step
left out             subjects without a step at risk      subjects who are not at risk at the landmark
unit of a duration   visits                               days
===================  ===================================  =============================================================

The third, the days clock, is the landmark clock with any number of prediction times of a subject in the place of its
landmark. Each of them has a label of its own, and nobody is left out because follow-up ends within the first interval:
that row has ``step`` = -1, and the share of the interval that was observed counts
(``survlstm.data.row_targets.exposure_after``).

Every other subject has a label of two values: ``step``, the index of its last step at risk, and ``event``, whether the
event happened in that step. A censored subject has ``step`` = k if k is the last step that was observed to its end
without the event. "Censored in step k" therefore means that the subject survived step k.

On the visit clock, for a subject with visits 0 … n-1:

===================================================  ============================
what happened                                        label
===================================================  ============================
first qualifying code at visit k, k >= 1             step k-1, event
first qualifying code at visit 0                     prevalent: left out
no event, n >= 2 visits                              step n-2, censored
no event, one visit                                  no step at risk: left out
death after the last visit                           step n-1, event
===================================================  ============================

On the landmark clock, in days after the landmark:

===================================================  ============================
what happened                                        label
===================================================  ============================
event in (edge_k, edge_k+1]                          step k, event
end of follow-up in [edge_k+1, edge_k+2)             step k, censored
end of follow-up before edge_1                       no complete step: left out
event or end of follow-up after edge_K               step K-1, censored
===================================================  ============================

A subject that is left out is counted in the exclusion table. ``docs/conventions.md``, sections Steps and Labels, is the
reference for these tables.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Int
from torch import Tensor


def at_risk_mask(step: Int[Tensor, " subject"], *, steps: int) -> Bool[Tensor, "subject {steps}"]:
    """Mark the steps at which each subject is at risk: those that its likelihood is a product over.

    Args:
        step: index of the last step at risk, from 0; shape (subject,), any integer dtype. It is not checked. An index
            of ``steps`` or more marks the whole row, a negative one marks nothing.
        steps: number of columns of the mask.

    Returns:
        Boolean tensor of shape (subject, steps), True in columns 0 … ``step`` of a row, on the device of ``step``.

    Example:
        >>> at_risk_mask(torch.tensor([1, 0]), steps=3).int().tolist()
        [[1, 1, 0], [1, 0, 0]]
    """
    return torch.arange(steps, device=step.device)[None, :] <= step[:, None]


def event_mask(
    step: Int[Tensor, " subject"], event: Bool[Tensor, " subject"], *, steps: int
) -> Bool[Tensor, "subject {steps}"]:
    """Mark the step in which each subject's event happened.

    Args:
        step: index of the last step at risk, from 0; shape (subject,), any integer dtype. It is not checked. An index
            of ``steps`` or more marks nothing, so that the event is lost.
        event: True if the event happened in ``step``, False if the subject is censored; shape (subject,).
        steps: number of columns of the mask.

    Returns:
        Boolean tensor of shape (subject, steps) with one True per event and none in the row of a censored subject.

    Example:
        >>> event_mask(torch.tensor([1, 0]), torch.tensor([True, False]), steps=3).int().tolist()
        [[0, 1, 0], [0, 0, 0]]
    """
    return (torch.arange(steps, device=step.device)[None, :] == step[:, None]) & event[:, None]
