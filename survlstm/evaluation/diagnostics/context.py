"""The evaluated run and its settings, the single argument of every diagnostic check."""

from __future__ import annotations

from dataclasses import dataclass

from survlstm.data.split import Split
from survlstm.evaluation.diagnostics import advice
from survlstm.evaluation.evaluated_run import EvaluatedRun
from survlstm.evaluation.settings import EvaluationSettings, RunSettings
from survlstm.training.history import Epoch, History

# The training guide calls 1,400 parameters per subject healthy and 10,000 terrible; this is their geometric mean,
# rounded.
MOST_PARAMETERS_PER_SUBJECT = 3700


@dataclass(frozen=True)
class DiagnosticContext:
    """What a diagnostic check reads.

    Attributes:
        run: The evaluated run.
        settings: Settings of the run, for the advice.
        evaluation: Settings of the evaluation.
    """

    run: EvaluatedRun
    settings: RunSettings
    evaluation: EvaluationSettings

    @property
    def trained(self) -> History:
        """The history, for the checks that are run only after training."""
        assert self.run.history is not None, "checks of training are run only where a model was trained"
        return self.run.history

    @property
    def best_epoch(self) -> Epoch:
        """The epoch whose weights were evaluated."""
        return self.trained.best

    @property
    def val_events(self) -> int:
        """Number of validation subjects with the event."""
        tensors = self.run.prepared.tensors
        return int(tensors.has_event[tensors.members(Split.VAL)].sum())

    @property
    def is_random(self) -> bool:
        """Whether the outcome has nothing to learn: the random outcome has equal hazards on the visit clock only."""
        return self.settings.random_outcome and self.run.summary.clock == "visit"

    @property
    def too_large(self) -> bool:
        """Whether the model has too many parameters for its number of training subjects."""
        history = self.run.history
        return history is not None and history.parameters_per_subject > MOST_PARAMETERS_PER_SUBJECT

    @property
    def unfinished(self) -> bool:
        """Whether the best epoch is in the last tenth of the epochs, so that more of them might improve the model."""
        history = self.run.history
        return history is not None and history.best_epoch > 0.9 * len(history.epochs)

    @property
    def ranking_advice(self) -> tuple[str, ...]:
        """Overrides to try where the model ranks poorly."""
        return advice.improve_ranking(self.settings, too_large=self.too_large, unfinished=self.unfinished)


def expected_standard_error(events: int) -> float:
    """Return the standard error of a C-index near 0.5, as measured on the random outcome of two cohorts.

    Args:
        events: Number of events among the evaluated subjects.

    Returns:
        The standard error; infinite without events.
    """
    return 0.36 / events**0.5 if events else float("inf")
