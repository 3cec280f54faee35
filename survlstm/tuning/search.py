"""Run one tuning worker: request trials from the study, train them and report their results."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import TrialState

from survlstm.config.overrides import compose_overrides
from survlstm.report.console_summary import log_task
from survlstm.report.task import describe_task
from survlstm.tuning.check_space import check_trials, compose_base
from survlstm.tuning.config import TuneConfig
from survlstm.tuning.experiment import train_command
from survlstm.tuning.pruning import Pruned, PruningCallback, TrialTakenOver
from survlstm.tuning.results import experiment_path, write_results
from survlstm.tuning.space import overrides
from survlstm.tuning.storage import retry
from survlstm.tuning.study import open_study
from survlstm.tuning.trial import RunTrial, TrialOutcome
from survlstm.tuning.trial_slot import ClaimedTrial, claim_trial
from survlstm.tuning.trial_table import SETTLED, best_slot, trial_slots
from survlstm.utils.content import describe_error, traceback_without_message
from survlstm.utils.errors import Interrupted, SurvlstmError, TrainingError
from survlstm.utils.logs import logging_to
from survlstm.utils.write_access import refuse_unwritable

log = logging.getLogger(__name__)

# A worker ends after this many failures in a row, if they are its first trials or have the same message.
MOST_FAILURES = 3
# Figures take seconds, which may be as long as a trial.
SECONDS_BETWEEN_PICTURES = 60.0

T = TypeVar("T")


@dataclass
class Worker:
    """One process that works on a study."""

    study: optuna.Study
    config: TuneConfig
    run_trial: RunTrial
    succeeded: int = 0
    failures: list[str] = field(default_factory=list)
    pictured: float = field(default_factory=time.monotonic)

    def work(self) -> None:
        """Run trials until none is left.

        Raises:
            TrainingError: If the first ``MOST_FAILURES`` trials of this worker fail, or as many in a row with the same
                message.
            ConfigError: If the storage does not answer for some minutes.
            Interrupted: If a signal asked a trial to stop; the trial is handed back.
        """
        while (claimed := self._in_log(self._claim)) is not None:
            try:
                self._make(claimed)
            finally:
                claimed.release()
            self._write()
            self._refuse_only_failures()

    def _write(self) -> None:
        with_pictures = time.monotonic() - self.pictured > SECONDS_BETWEEN_PICTURES
        self._in_log(lambda: write_results(self.study, self.config, with_pictures=with_pictures))
        if with_pictures:
            self.pictured = time.monotonic()

    def _claim(self) -> ClaimedTrial | None:
        found = self._patiently(lambda: claim_trial(self.study, self.config))
        if found is not None:
            log.info("Trial %d: %s", found.slot, " ".join(overrides(found.values)))
        return found

    def _make(self, claimed: ClaimedTrial) -> None:
        callback = PruningCallback(claimed.trial, self.config.metric)
        words = [*self.config.base, *overrides(claimed.values)]
        try:
            # Its own lines stand in its own log.
            outcome = self.run_trial(words, claimed.folder, callback)
        except Pruned as reason:
            self._tell(claimed, TrialState.PRUNED, callback.outcome, f"pruned: {reason}")
        except TrialTakenOver as reason:
            said = f"Trial {claimed.slot}: {reason}"
            self._in_log(lambda: log.warning("%s", said))
        except Interrupted as error:
            self._hand_back(claimed)
            raise Interrupted(
                f"stopped by signal {error.exit_code - 128} in trial {claimed.slot}; everything is saved. The same "
                "survlstm tune command continues there",
                signal_number=error.exit_code - 128,
            ) from error
        except SurvlstmError as error:
            self._fail(claimed, callback.outcome, f"{type(error).__name__}: {error}")
        # A driver's or a library's error in one trial must not end the search.
        except Exception as error:
            passed = traceback_without_message(error)
            self._in_log(lambda: log.warning("Trial %d ended in an error\n%s", claimed.slot, passed))
            self._fail(claimed, callback.outcome, describe_error(error))
        except BaseException:
            self._hand_back(claimed)
            raise
        else:
            self._complete(claimed, outcome)

    def _complete(self, claimed: ClaimedTrial, outcome: TrialOutcome) -> None:
        value = getattr(outcome, self.config.metric)
        if not math.isfinite(value):
            self._fail(claimed, outcome, f"{self.config.metric} must be finite to be compared; found {value}")
            return
        self._tell(claimed, TrialState.COMPLETE, outcome, f"{self.config.metric} {value:.4f}")

    def _fail(self, claimed: ClaimedTrial, outcome: TrialOutcome | None, sentence: str) -> None:
        self._tell(claimed, TrialState.FAIL, outcome, f"failed: {sentence}", failure=sentence)
        self.failures.append(sentence)

    def _tell(
        self,
        claimed: ClaimedTrial,
        state: TrialState,
        outcome: TrialOutcome | None,
        said: str,
        failure: str | None = None,
    ) -> None:
        figures = {} if outcome is None else outcome._asdict()
        # Attributes are written before the state, because a finished trial can't be changed.
        attributes = {name: value for name, value in figures.items() if math.isfinite(value)}
        value = figures[self.config.metric] if state == TrialState.COMPLETE else None

        def told() -> None:
            for name, figure in attributes.items():
                claimed.trial.set_user_attr(name, figure)
            if failure is not None:
                claimed.trial.set_user_attr("failure", failure)
            self.study.tell(claimed.trial, value, state=state)

        try:
            self._in_log(lambda: self._patiently(told))
        except (UpdateFinishedTrialError, ValueError):
            self._in_log(lambda: log.warning("Trial %d was given up by other workers meanwhile", claimed.slot))
            return
        if state != TrialState.FAIL:
            self.succeeded += 1
            self.failures.clear()
        self._in_log(lambda: self._say(claimed, outcome, said))

    def _say(self, claimed: ClaimedTrial, outcome: TrialOutcome | None, said: str) -> None:
        found = trial_slots(self.study.get_trials(deepcopy=False))
        done = sum(place.state in SETTLED for place in found)
        took = "" if outcome is None else f", {outcome.epochs} epochs in {outcome.seconds:.0f} s"
        best = best_slot(found, self.config.metric, maximised=self.config.maximised)
        mark = "" if best is None else f"; best: trial {best.slot}, {best.figure(self.config.metric):.4f}"
        log.info("Trial %d (%d of %d done): %s%s%s", claimed.slot, done, self.config.trials, said, took, mark)

    def _hand_back(self, claimed: ClaimedTrial) -> None:
        def told() -> None:
            claimed.trial.set_user_attr("handed_back", True)
            self.study.tell(claimed.trial, state=TrialState.FAIL)

        self._patiently(told)

    def _refuse_only_failures(self) -> None:
        last = self.failures[-MOST_FAILURES:]
        if len(last) < MOST_FAILURES or (self.succeeded and len(set(last)) > 1):
            return
        which = "with the same sentence" if self.succeeded else "before any trial finished"
        raise TrainingError(
            f"a search must have trials that can be trained; the last {len(last)} of this worker failed {which}, the "
            f"last one: {last[-1]}. Correct that and repeat the same survlstm tune command, or narrow the space under "
            "another name"
        )

    def _patiently(self, job: Callable[[], T]) -> T:
        return retry(job, url=self.config.storage, folder=self.config.folder)

    def _in_log(self, job: Callable[[], T]) -> T:
        """Between trials only: a trial's lines go to its own log, and would stand here twice."""
        with logging_to(self.config.folder / "tune.log"):
            return job()


def search(config: TuneConfig, run_trial: RunTrial) -> None:
    """Check the search, open its study, run trials until none is left, and write the results.

    Args:
        config: The validated config of ``survlstm tune``.
        run_trial: Trains one trial, as ``survlstm.tuning.trial.train_trial`` does.

    Raises:
        ConfigError: If the search space is not valid, the folder can't be written, the study belongs to another search,
            or the storage can't be used.
        TrainingError: If the first trials of this worker all fail, or the last ones with the same message.
        Interrupted: If a signal ended the search.
    """
    check_trials(config)
    config = config.model_copy(update={"base": compose_overrides(config.base)})
    refuse_unwritable(config.folder)
    config.folder.mkdir(parents=True, exist_ok=True)
    with open_study(config) as study:
        with logging_to(config.folder / "tune.log"):
            _say_start(study, config)
        try:
            Worker(study, config, run_trial).work()
        finally:
            with logging_to(config.folder / "tune.log"):
                write_results(study, config, with_pictures=True)
        with logging_to(config.folder / "tune.log"):
            _say_end(study, config)


def _say_start(study: optuna.Study, config: TuneConfig) -> None:
    found = trial_slots(study.get_trials(deepcopy=False))
    done = sum(place.state in SETTLED for place in found)
    log_task(describe_task(compose_base(config.base)))
    what = "Going on with the search" if found else "Search"
    log.info("%s %s in %s: %d of %d trials done", what, config.name, config.folder, done, config.trials)
    log.info("%s over %s", config.metric, ", ".join(config.space))


def _say_end(study: optuna.Study, config: TuneConfig) -> None:
    found = trial_slots(study.get_trials(deepcopy=False))
    counts = {state: sum(place.state == state for place in found) for state in (*SETTLED, "running")}
    log.info("\nDone here: %s", ", ".join(f"{count} {state}" for state, count in counts.items() if count))
    if counts["running"]:
        log.info("The last trials are being made by other workers")
    best = best_slot(found, config.metric, maximised=config.maximised)
    if best is not None:
        log.info("Best: trial %d, %s %.4f", best.slot, config.metric, best.figure(config.metric))
        log.info("%s", " ".join(overrides({key: best.params[key] for key in config.space})))
        log.info("Train and judge it: %s", train_command(config))
        log.info("Its experiment file: %s", experiment_path(config))
    log.info("Read it in %s", config.folder / "tune.html")
