"""Record the figures of every epoch and write them to ``history.json``."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from survlstm.training.early_stopping import Gain
from survlstm.utils.errors import CheckpointError
from survlstm.utils.files import write_json
from survlstm.utils.formatting import format_dollars, format_duration
from survlstm.utils.stored_files import parse_fields, read_json


@dataclass(frozen=True)
class Epoch:
    """The figures of one epoch.

    Attributes:
        epoch: Number of the epoch, counted from 1; 0 for a model that starts from a fit, before it is trained.
        train_loss: Mean negative log-likelihood of the training subjects, in nats per subject; with
            ``trainer.auxiliary.only`` the weighted sum of their auxiliary losses.
        val_loss: The same of the validation subjects, after the epoch.
        val_c_td: Time-dependent C-index (Antolini) of the validation subjects; NaN with ``trainer.auxiliary.only``.
        lr: Learning rate of the first parameter group during the epoch.
        grad_norm: Mean over the steps of the gradient norm before clipping.
        seconds: Training time; validation and saving are left out.
        subjects_per_second: Training subjects over ``seconds``.
    """

    epoch: int
    train_loss: float
    val_loss: float
    val_c_td: float
    lr: float
    grad_norm: float
    seconds: float
    subjects_per_second: float


@dataclass(frozen=True)
class AuxiliaryEpoch:
    """The auxiliary losses of one epoch, as means over the pairs of a visit and the next one; None for one left out.

    Attributes:
        epoch: Number of the epoch, counted from 1.
        train_next_codes: Loss of the codes of the next visit, in nats per visit, of the training subjects.
        val_next_codes: The same of the validation subjects, after the epoch.
        train_next_visit: Squared error of log(1 + days to the next visit), of the training subjects.
        val_next_visit: The same of the validation subjects, after the epoch.
    """

    epoch: int
    train_next_codes: float | None
    val_next_codes: float | None
    train_next_visit: float | None
    val_next_visit: float | None


@dataclass(frozen=True)
class Usage:
    """What a run has used up to its last save, earlier processes of a resumed run included.

    Attributes:
        seconds: Time since the command started; what a killed process did after its last save is left out.
        seconds_at_most: Estimated time if all epochs are trained, without the validation and evaluation still to come.
        cost: Dollars for ``seconds``; None where no price is known.
        cost_at_most: Dollars for ``seconds_at_most``; None where no price is known.
        peak_bytes: Peak memory of the main process since the run was last started.
        peak_device_bytes: Peak memory allocated on its CUDA device since then; None on the CPU.
        device_busy: Share of the training time in which the device was busy; None where its driver does not report it.
    """

    seconds: float = 0.0
    seconds_at_most: float | None = None
    cost: float | None = None
    cost_at_most: float | None = None
    peak_bytes: int = 0
    peak_device_bytes: int | None = None
    device_busy: float | None = None


@dataclass
class Progress:
    """How much of the current epoch is done.

    Attributes:
        epoch: The current epoch, counted from 1.
        steps: Optimizer steps done in it.
        loss_sum: Sum of the losses of all subjects of these steps, in nats.
        norm_sum: Sum of the gradient norms of these steps.
        seconds: Training time spent in the epoch.
    """

    epoch: int = 1
    steps: int = 0
    loss_sum: float = 0.0
    norm_sum: float = 0.0
    seconds: float = 0.0


@dataclass
class History:
    """The figures of all epochs so far, and the facts about the whole run.

    Attributes:
        parameters: Number of the model's parameters.
        parameters_per_subject: The same over the number of training subjects.
        epochs: The epochs, in order.
        best_epoch: Number of the epoch with the lowest validation loss; 0 before the first has ended, or if none is
            better than ``start`` by the margin of ``trainer.early_stopping.start_margin``.
        stopped: Why training ended; empty while it runs.
        usage: Time, memory and cost.
        events: What happened during training, such as a resumption, another machine or a smaller micro-batch.
        start: Figures of a model that starts from a fit, before its first epoch; None for other models.
        auxiliary: The auxiliary losses of the epochs; empty without them.
        gains: Gain of each epoch over ``start`` on the validation subjects; empty without a start.
    """

    parameters: int
    parameters_per_subject: float
    epochs: list[Epoch] = field(default_factory=list)
    best_epoch: int = 0
    stopped: str = ""
    usage: Usage = field(default_factory=Usage)
    events: list[str] = field(default_factory=list)
    start: Epoch | None = None
    auxiliary: list[AuxiliaryEpoch] = field(default_factory=list)
    gains: list[Gain] = field(default_factory=list)

    @property
    def best(self) -> Epoch:
        """The epoch whose weights are kept; raises IndexError before the first epoch has ended."""
        if self.best_epoch == 0 and self.start is not None:
            return self.start
        return self.epochs[self.best_epoch - 1]

    @property
    def candidates(self) -> list[Epoch]:
        """The epochs of which the best is kept: ``start`` if there is one, and all others."""
        return self.epochs if self.start is None else [self.start, *self.epochs]

    def as_plain(self) -> dict[str, Any]:
        """Return plain values, as a checkpoint and ``history.json`` hold them."""
        plain = dataclasses.asdict(self) | {"gains": [list(gain) for gain in self.gains]}
        # Left out where there is none, so that the files of other models stay as they were.
        return {name: value for name, value in plain.items() if value or name not in {"start", "auxiliary", "gains"}}

    @classmethod
    def from_plain(cls, plain: Any) -> History:
        """Build a history from what ``as_plain`` returned.

        Args:
            plain: Content of ``history.json`` or of the part ``history`` of a checkpoint, with NaN in place of null.

        Returns:
            The history.

        Raises:
            ValueError: A field is missing, unknown or of another type.
        """
        if not (isinstance(plain, dict) and isinstance(plain.get("epochs"), list)):
            raise ValueError("a history must hold a list of epochs")
        epochs = [parse_fields(Epoch, epoch) for epoch in plain["epochs"]]
        start = parse_fields(Epoch, plain["start"]) if "start" in plain else None
        usage = parse_fields(Usage, plain.get("usage"))
        of_next_visits = plain.get("auxiliary", [])
        if not isinstance(of_next_visits, list):
            raise ValueError("the auxiliary losses of a history must be a list")
        auxiliary = [parse_fields(AuxiliaryEpoch, epoch) for epoch in of_next_visits]
        try:
            gains = [Gain(float(nats), float(error)) for nats, error in plain.get("gains", [])]
        except (TypeError, ValueError) as error:
            raise ValueError("the gains of a history must be pairs of numbers") from error
        if not {len(auxiliary), len(gains)} <= {0, len(epochs)}:
            raise ValueError("a history must hold the auxiliary losses and the gain of each of its epochs, or none")
        parts = {"epochs": epochs, "usage": usage, "start": start, "auxiliary": auxiliary, "gains": gains}
        return parse_fields(cls, plain | parts)

    def write(self, path: Path) -> None:
        """Write the history as JSON, replacing the file atomically.

        Args:
            path: The file; its folder must exist. A figure that is not finite is written as null.
        """
        write_json(path, self.as_plain())


def describe_usage(usage: Usage) -> str:
    """Describe the time and cost so far and to come, and the use of the GPU, for the log of an epoch.

    Args:
        usage: What the run has used.
    """
    left = (usage.seconds_at_most or usage.seconds) - usage.seconds
    text = f"Time: {format_duration(usage.seconds)} so far, at most {format_duration(left)} to go"
    if usage.cost is not None and usage.cost_at_most is not None:
        text += f"; cost: {format_dollars(usage.cost)} so far, at most {format_dollars(usage.cost_at_most)}"
    if usage.device_busy is not None and usage.peak_device_bytes is not None:
        text += f"; GPU {usage.device_busy:.0%} busy, {usage.peak_device_bytes / 2**30:.2f} GiB at most"
    return text


def read_history(folder: Path) -> History:
    """Read the ``history.json`` of a run; null is read as NaN.

    Args:
        folder: Folder of the run.

    Returns:
        The history, whose ``best_epoch`` is one of its epochs, or 0.

    Raises:
        CheckpointError: The file is missing, or is not a valid history.
    """
    try:
        plain = read_json(folder / "history.json")
        for epoch in [*plain["epochs"], *([plain["start"]] if "start" in plain else [])]:
            epoch.update({key: math.nan for key, value in epoch.items() if value is None})
        history = History.from_plain(plain)
        if not 0 <= history.best_epoch <= len(history.epochs):
            raise ValueError("its best epoch must be one of its epochs")
        return history
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"the folder of a run must hold a valid history.json; {folder} does not: {type(error).__name__}: {error}"
        ) from error
