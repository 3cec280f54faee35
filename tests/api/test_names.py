"""What ``import survlstm`` offers, without what it costs; and its types, as a user's type checker sees them."""

import subprocess
import sys
from pathlib import Path

import pytest

import survlstm

ROOT = Path(__file__).parents[2]


def test_every_name_is_there_and_documented():
    assert dir(survlstm) == sorted(survlstm.__all__)
    for name in set(survlstm.__all__) - {"__version__"}:
        assert getattr(survlstm, name).__doc__, name
    with pytest.raises(AttributeError, match="module 'survlstm' has no attribute 'trian'"):
        survlstm.trian  # noqa: B018


def test_importing_survlstm_imports_nothing_heavy():
    code = "import sys, survlstm; print(sorted({'torch', 'pandas', 'numpy', 'hydra', 'matplotlib'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.slow
def test_a_script_of_a_user_passes_the_type_checker(tmp_path):
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--follow-imports=silent",
        "--config-file=",
        "--warn-unused-ignores",
    ]
    script = ROOT / "tests" / "api" / "user_script.py"
    done = subprocess.run(
        [*command, f"--cache-dir={tmp_path}", str(script)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stdout
