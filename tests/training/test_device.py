"""choose_device: the device, the reason for it, and the error for every device that does not exist."""

import re

import pytest
import torch

from survlstm.training.device import choose_device
from survlstm.utils.errors import ConfigError

TOO_OLD = (
    "The NVIDIA driver on your system is too old (found version 11040). Please update your GPU driver by downloading "
    "and installing a new version from the URL: http://www.nvidia.com/Download/index.aspx Alternatively, go to: "
    "https://pytorch.org to install a PyTorch version that has been compiled with your version of the CUDA driver."
)


@pytest.fixture
def cuda(monkeypatch):
    """Simulate a machine with some CUDA devices, or with none and torch's error for that."""

    def pretend(count, *, said=None):
        def init():
            if said is not None:
                raise said

        monkeypatch.setattr(torch.cuda, "is_available", lambda: count > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
        monkeypatch.setattr(torch.cuda, "init", init)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA A40")
        taken = []
        monkeypatch.setattr(torch.cuda, "set_device", taken.append)
        return taken

    return pretend


def test_the_cpu():
    device, said = choose_device("cpu")
    assert device == torch.device("cpu")
    assert re.fullmatch(r"cpu, \d+ threads \(as configured\)", said)


def test_auto_takes_cuda_where_there_is_one(cuda):
    cuda(0)
    device, said = choose_device("auto")
    assert device.type == "cpu"
    assert said.endswith("(auto: no CUDA device found)")
    taken = cuda(2)
    assert choose_device("auto") == (torch.device("cuda:0"), "cuda:0, NVIDIA A40 (auto: CUDA found)")
    assert taken == [torch.device("cuda:0")]


def test_of_several_processes_each_takes_a_device_unless_one_was_named(cuda):
    cuda(4)
    assert choose_device("cuda", local_rank=3)[0] == torch.device("cuda:3")
    assert choose_device("auto", local_rank=2)[0] == torch.device("cuda:2")
    assert choose_device("cuda:1", local_rank=3)[0] == torch.device("cuda:1")


@pytest.mark.parametrize("asked", ["cuda", "cuda:0", "cuda:7"])
@pytest.mark.parametrize(
    ("said", "told"),
    [
        (RuntimeError(TOO_OLD), r"The NVIDIA driver on your system is too old \(found version 11040\)"),
        (AssertionError("Torch not compiled with CUDA enabled"), "Torch not compiled with CUDA enabled"),
        (RuntimeError("Found no NVIDIA driver on your system.\nPlease check"), "Found no NVIDIA driver on your system"),
        (None, "no device is visible"),
    ],
)
def test_cuda_where_there_is_none(cuda, asked, said, told):
    cuda(0, said=said)
    with pytest.raises(ConfigError, match=rf"^trainer.device={asked} needs a CUDA device; torch .* \({told}.*\)\. Set"):
        choose_device(asked)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA, so asking for it is no error")
def test_what_torch_itself_says_here():
    with pytest.raises(ConfigError, match=r"found none \([^()]+\)\. Set trainer.device=auto or trainer.device=cpu$"):
        choose_device("cuda")


@pytest.mark.parametrize(("asked", "local_rank"), [("cuda:2", 0), ("cuda:7", 0), ("cuda", 2), ("auto", 5)])
def test_a_device_too_many(cuda, asked, local_rank):
    taken = cuda(2)
    number = asked if ":" in asked else f"cuda:{local_rank}"
    with pytest.raises(ConfigError, match=rf"^trainer.device={number} must be below cuda:2; set trainer.device=auto"):
        choose_device(asked, local_rank=local_rank)
    assert taken == []
