"""What a run leaves behind, as the one value that every health check looks at."""

from __future__ import annotations

from dataclasses import dataclass

from survlstm.config.schema.outcome import RandomOutcomeConfig
from survlstm.config.schema.run import RunConfig
from survlstm.data.prepare import CohortFlow
from survlstm.data.split import Split
from survlstm.data.tensors import Tensors
from survlstm.data.vocabulary import Vocabulary
from survlstm.evaluation.diagnostics import advice
from survlstm.evaluation.results import EvaluationSummary, Finding
from survlstm.training.history import Epoch, History

# The guide calls 1,400 parameters a subject healthy and 10,000 terrible; this is their geometric middle, rounded.
MOST_PARAMETERS_PER_SUBJECT = 3700


@dataclass(frozen=True)
class DiagnosticContext:
    """A finished run: its settings, its training, its data, its summary, and what the sanity_checks found.

    ``history`` is None where nothing was trained.
    """

    config: RunConfig
    history: History | None
    flow: CohortFlow
    tensors: Tensors
    vocabulary: Vocabulary
    summary: EvaluationSummary
    sanity_checks: tuple[Finding, ...]

    @property
    def trained(self) -> History:
        """The history, for the checks that are asked only where there is one."""
        assert self.history is not None, "asked only of what was trained"
        return self.history

    @property
    def kept(self) -> Epoch:
        """The epoch whose weights were judged."""
        return self.trained.best

    @property
    def val_events(self) -> int:
        """Events among the validation subjects."""
        return int(self.tensors.event[self.tensors.members(Split.VAL)].sum())

    @property
    def is_random(self) -> bool:
        """True where nothing can be learnt: hazards of the random outcome are equal on the visit clock only."""
        return isinstance(self.config.outcome, RandomOutcomeConfig) and self.summary.clock == "visit"

    @property
    def too_large(self) -> bool:
        """Whether the model is out of proportion to its training subjects."""
        return self.history is not None and self.history.parameters_per_subject > MOST_PARAMETERS_PER_SUBJECT

    @property
    def unfinished(self) -> bool:
        """Whether the best epoch is among the last tenth of them: more might have been better."""
        return self.history is not None and self.history.best_epoch > 0.9 * len(self.history.epochs)

    @property
    def learn_more(self) -> tuple[str, ...]:
        """What to try where the model ranks poorly."""
        return advice.improve_ranking(self.config, too_large=self.too_large, unfinished=self.unfinished)


def expected_standard_error(events: int) -> float:
    """Standard error of a C-index near 0.5 by the events behind it; measured on the random outcome of two cohorts."""
    return 0.36 / events**0.5 if events else float("inf")
