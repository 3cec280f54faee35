"""A run folder belongs to one process at a time."""

from survlstm.runs.resume import run_lock
from tests.lives import SMALL, Life


def test_two_processes_never_train_in_one_folder(survlstm, tmp_path, shared_cache, capsys):
    folder = tmp_path / "run"
    words = [*SMALL, "trainer.epochs=200", f"cache_dir={shared_cache}", f"output_dir={folder}"]
    first = Life(folder, *words).until("Epoch 2/")
    try:
        for again in (words, ["train", f"resume={folder}"]):
            assert survlstm(*again) == 2
            shown = capsys.readouterr()
            said = (
                f"ConfigError: another process is training in {folder}; wait for it, stop it, or set another output_dir"
            )
            assert said in shown.out + shown.err
            assert "Traceback" not in shown.out + shown.err
        assert first.process.is_alive()
    finally:
        said = first.killed()
    assert "another process" not in said + (folder / "training.log").read_text()
    with run_lock(folder):
        pass
