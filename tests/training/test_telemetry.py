"""Telemetry: peak memory, and the utilisation that the driver reports during training."""

import threading
import time

import pytest
import torch

from survlstm.training import telemetry
from survlstm.training.telemetry import Telemetry, peak_device_bytes, peak_host_bytes

CUDA = torch.device("cuda:0")


@pytest.fixture
def driver(monkeypatch):
    """A substitute for the CUDA driver: its answers, and the number of queries."""
    asked, answered = threading.Event(), []

    def utilization(device):
        assert device == CUDA
        answered.append(answers[min(len(answered), len(answers) - 1)])
        if len(answered) >= len(answers):
            asked.set()
        if isinstance(answered[-1], Exception):
            raise answered[-1]
        return answered[-1]

    answers = []
    monkeypatch.setattr(torch.cuda, "utilization", utilization)
    monkeypatch.setattr(telemetry, "SECONDS_BETWEEN_SAMPLES", 0.001)

    def answering(*given):
        answers[:] = given
        return asked, answered

    return answering


def test_the_peak_of_the_host_grows_with_what_is_held():
    before = peak_host_bytes()
    # Above the peak, whatever the tests before have freed again.
    held = bytearray(before)
    held[:: 2**12] = b"\1" * len(held[:: 2**12])
    assert before + 0.5 * len(held) < peak_host_bytes() < before + 1.5 * len(held)


def test_nothing_is_known_of_the_device_on_a_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "utilization", lambda *_: pytest.fail("there is no device to ask"))
    monkeypatch.setattr(telemetry, "SECONDS_BETWEEN_SAMPLES", 0.001)
    seen = Telemetry(torch.device("cpu"))
    threads = threading.active_count()
    with seen.sampling():
        assert threading.active_count() == threads
    assert (seen.busy, seen.samples, seen.unknown) == (None, [], "")
    assert peak_device_bytes(torch.device("cpu")) is None


def test_the_share_of_busy_time_is_the_mean_of_the_samples(driver):
    asked, answered = driver(80, 40)
    seen = Telemetry(CUDA)
    with seen.sampling():
        assert asked.wait(5)
    assert seen.samples == answered
    assert seen.busy == pytest.approx(sum(answered) / len(answered) / 100)
    assert seen.unknown == ""


def test_sampling_ends_with_the_block_whatever_ends_it(monkeypatch):
    asked = threading.Event()
    # A driver slow enough for its thread to outlive a block that does not wait for it.
    monkeypatch.setattr(torch.cuda, "utilization", lambda _: asked.set() or time.sleep(0.2) or 50)
    monkeypatch.setattr(telemetry, "SECONDS_BETWEEN_SAMPLES", 0.001)
    threads = threading.active_count()

    def fail():
        assert asked.wait(5)
        raise ValueError("an error of the block")

    with pytest.raises(ValueError, match="an error of the block"), Telemetry(CUDA).sampling():
        fail()
    assert threading.active_count() == threads


def test_samples_of_all_epochs_count(driver):
    asked, _ = driver(80)
    seen = Telemetry(CUDA, samples=[20.0])
    with seen.sampling():
        assert asked.wait(5)
    assert 0.2 < seen.busy < 0.8


def test_a_driver_that_does_not_tell_is_asked_once(driver):
    asked, answered = driver(ModuleNotFoundError("pynvml does not seem to be installed"))
    seen = Telemetry(CUDA)
    with seen.sampling():
        assert asked.wait(5)
    asked.clear()
    with seen.sampling():
        assert not asked.wait(0.1)
    assert len(answered) == 1
    assert seen.busy is None
    assert seen.unknown == "ModuleNotFoundError: pynvml does not seem to be installed"
