"""Shares of the linear part and of the network in the likelihood of a model that has both."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, Int64

from survlstm.evaluation.baselines.hazards import COVARIATE_FREE
from survlstm.evaluation.bootstrap import Bootstrap
from survlstm.evaluation.results import LikelihoodParts, StepRow


def likelihood_parts(
    model_nll: Float[np.ndarray, " row"],
    linear_nll: Float[np.ndarray, " row"],
    subject: Int64[np.ndarray, " row"],
    *,
    rows: Sequence[StepRow],
    events: int,
    bootstrap: Bootstrap,
) -> LikelihoodParts:
    """Divide the gain in log-likelihood over the covariate-free hazard between the parts of a model.

    The linear part is the one of the trained model, with the rest of the model left out. What it alone gains is its
    share, and what the whole model gains beyond that is the network's.

    Args:
        model_nll: Negative log-likelihood of each row under the model, in nats.
        linear_nll: The same under its linear part alone.
        subject: Subject of each row.
        rows: Table of all models, for the covariate-free hazard.
        events: Number of subjects with the event.
        bootstrap: The bootstrap, over subjects.

    Returns:
        Both gains, that of the network with an interval if there are enough events.
    """
    gain = linear_nll - model_nll
    interval = None
    if events >= bootstrap.min_events:
        means = [weight @ gain / weight.sum(axis=1) for weight in bootstrap.weights(subject)]
        interval = bootstrap.interval(np.concatenate(means))
    free = next(row.nll.value for row in rows if row.name == COVARIATE_FREE)
    return LikelihoodParts(free - float(linear_nll.mean()), float(gain.mean()), interval)


def describe_parts(parts: LikelihoodParts, *, unit: str) -> str:
    """Write the shares as a sentence.

    Args:
        parts: The gains.
        unit: What the likelihood is a mean over: ``subject`` or ``prediction time``.
    """
    interval = "" if parts.interval is None else f" ({parts.interval.low:+.3f} to {parts.interval.high:+.3f})"
    return (
        f"Gain in log-likelihood over the covariate-free hazard, in nats per {unit}: {parts.linear:+.3f} from the "
        f"linear part alone, and {parts.network:+.3f}{interval} more from the network."
    )
