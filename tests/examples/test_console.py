"""The console never stops a command: other encodings, a reader who has gone, a full disk, a folder that was removed."""

import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from survlstm.utils.console import LenientStream, lenient_console
from tests.lives import SMALL

ROOT = Path(__file__).parents[2]


def stream(encoding):
    return io.TextIOWrapper(io.BytesIO(), encoding=encoding)


@pytest.mark.parametrize(
    ("encoding", "arrived"),
    [
        ("utf-8", "0.5 \u2013 1 \u2212 2\u2026 \u2192 \U0001f642 \u00e9"),
        ("latin-1", "0.5 - 1 - 2... -> ? \u00e9"),
        ("cp1252", "0.5 \u2013 1 - 2\u2026 -> ? \u00e9"),
        ("ascii", "0.5 - 1 - 2... -> ? ?"),
    ],
)
def test_what_a_stream_cannot_encode_is_replaced(encoding, arrived):
    inner = stream(encoding)
    written = "0.5 \u2013 1 \u2212 2\u2026 \u2192 \U0001f642 \u00e9"
    assert LenientStream(inner).write(written) == len(written)
    inner.flush()
    assert inner.buffer.getvalue().decode(encoding) == arrived
    # The name of a file that is no text.
    LenientStream(inner).write("\udcff")


def test_a_pipe_that_nobody_reads_is_left_alone():
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w", encoding="utf-8") as inner:
        lenient = LenientStream(inner)
        lenient.write("lost")
        lenient.flush()
        assert lenient.lost.errno == errno.EPIPE
        lenient.write("no more")
        lenient.flush()
    # … and closing it, as the interpreter does at its end, has nothing left to write there.


def test_the_console_is_as_before_afterwards_and_may_be_missing(monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)
    before = sys.stderr
    with lenient_console():
        sys.stdout.write("nobody sees it")
        assert isinstance(sys.stderr, LenientStream)
        with lenient_console():
            assert not isinstance(sys.stderr._stream, LenientStream)
    assert sys.stdout is None
    assert sys.stderr is before


@pytest.fixture(scope="module")
def environment(shared_cache):
    return os.environ | {"SURVLSTM_CACHE_DIR": str(shared_cache), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def process(environment, folder, *words, **streams):
    return subprocess.Popen([sys.executable, "-m", "survlstm", *words], cwd=folder, env=environment, **streams)


def test_training_goes_on_without_its_reader_and_ends_well(environment, tmp_path):
    """As behind ``| head -1``: the work is not lost, the log holds every line."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    encoded = environment | {"PYTHONIOENCODING": "ascii"}
    with process(encoded, tmp_path, *SMALL, "trainer.epochs=4", "output_dir=run", **streams) as running:
        while "Epoch 2/4" not in running.stdout.readline():
            assert running.poll() is None, running.stderr.read()
        running.stdout.close()
        assert running.stderr.read() == ""
    assert running.returncode == 0
    assert len(json.loads((tmp_path / "run" / "history.json").read_text())["epochs"]) == 4
    assert "Training complete!" in (tmp_path / "run" / "training.log").read_text(encoding="utf-8")


@pytest.mark.parametrize("reader", ["gone", "full"])
def test_a_command_that_only_shows_something_says_that_it_did_not_arrive(environment, tmp_path, reader):
    (tmp_path / "outputs").mkdir()
    if reader == "full":
        with open("/dev/full", "w", encoding="utf-8") as output:
            done = process(environment, tmp_path, "runs", stdout=output, stderr=subprocess.PIPE, text=True)
    else:
        reading, writing = os.pipe()
        os.close(reading)
        done = process(environment, tmp_path, "runs", stdout=writing, stderr=subprocess.PIPE, text=True)
        os.close(writing)
    _, said = done.communicate()
    assert (done.returncode, said) == (
        (141, "")
        if reader == "gone"
        else (1, "the output must be written; the system says: [Errno 28] No space left on device\n")
    )


def test_a_removed_working_folder_is_told(survlstm, tmp_path, monkeypatch, capsys):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for words in (["train", "experiment=smoke"], ["runs"], ["predict", "bundle=x", "data.path=x"]):
        assert survlstm(*words) == 2
        assert "the working folder must exist; it has been removed" in capsys.readouterr().err
    assert survlstm("--version") == 0


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["train", "experiment=smoke", "output_dir=/proc/x"], 2, "output_dir must be a folder"),
        (["train", "-m", "experiment=smoke", "seed=1,2", "output_dir=/proc/x"], 2, "output_dir must be a folder"),
        (["train", "experiment=smoke", "trainer.distributed=true", "output_dir=/proc/x"], 2, "output_dir must be a"),
        (["tune", "trials=1", "output_dir=/proc/x"], 2, "output_dir must be a folder that can be written; /proc can't"),
        (["evaluate", "run=RUN", "output_dir=/proc/x"], 2, "output_dir must be a folder that can be written; /proc"),
        (["rerun", "RUN", "output_dir=/proc/x"], 2, "output_dir must be a folder that can be written; /proc can't be"),
        (["export", "run=RUN", "output=/proc/x"], 8, "a bundle must be written to /proc/x; the system says: "),
        (["explain", "run=RUN", "output=/proc/x"], 2, "output must be a folder that can be written; found /proc/x"),
        (["compare", "RUN", "EXPORT", "output=/proc/x"], 2, "output must be a folder that can be written; /proc can't"),
        (["simulate", "output=/proc/x"], 2, "output must be a folder that can be made; found /proc/x"),
        (["predict", "bundle=BUNDLE", "data.path=EXPORT", "output=/proc/x.csv"], 8, "predictions must be written to "),
        (["plot", "survival", "bundle=BUNDLE", "data.path=EXPORT", "output=/proc/x"], 8, "curves must be written to "),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_where_nothing_can_be_written_is_found_before_the_work(survlstm, trained, capsys, *, words, code, sentence):
    """/proc takes no file, whatever os.access says to root. Nothing is read, scored or judged before that is said."""
    run, bundle, export = trained
    for name, path in (("RUN", run), ("BUNDLE", bundle), ("EXPORT", export)):
        words = [word.replace(name, str(path)) for word in words]
    assert survlstm(*words) == code
    shown = capsys.readouterr()
    told = shown.out + shown.err
    assert f"Error: {sentence}" in told
    assert "Traceback" not in told
    for line in ("Scored", "Codes unknown to the model", "Visits:", "Explaining", "Shared test subjects"):
        assert line not in told
