"""A checkpointer that keeps every state, for tests that resume from each of them."""

import shutil
from dataclasses import dataclass

from survlstm.training.checkpoint import Checkpointer


@dataclass(frozen=True)
class EveryState(Checkpointer):
    """Copy the folder of checkpoints after each save."""

    def save_last(self, state, *, epoch, is_epochs_end):
        super().save_last(state, epoch=epoch, is_epochs_end=is_epochs_end)
        before = len(list(self.run_folder.glob("at_*")))
        shutil.copytree(self.folder, self.run_folder / f"at_{before:04d}" / "checkpoints")
