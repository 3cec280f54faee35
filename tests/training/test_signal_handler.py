"""Signals as requests: the first is kept, the second acts, and outside of the block all is as before."""

import os
import signal

import pytest

from survlstm.training.signal_handler import SignalHandler

KINDS = [signal.SIGTERM, signal.SIGINT]


@pytest.fixture
def came():
    """What reached the handlers that stood before; they stand again afterwards."""
    found = []
    before = {kind: signal.signal(kind, lambda kind, _: found.append(kind)) for kind in KINDS}
    yield found
    for kind, handler in before.items():
        signal.signal(kind, handler)


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_signal_is_kept_as_a_request(came, kind):
    handler = SignalHandler()
    with handler.listening():
        assert handler.signal_number == 0
        os.kill(os.getpid(), kind)
        assert handler.signal_number == kind
    assert came == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_second_of_a_kind_acts_as_it_would_have(came, kind):
    handler = SignalHandler()
    with handler.listening():
        os.kill(os.getpid(), kind)
        os.kill(os.getpid(), kind)
    assert came == [kind]


def test_a_second_ctrl_c_interrupts_at_once():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), SignalHandler().listening():  # noqa: PT012  (one press, then another)
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_of_two_kinds_the_first_is_remembered(came):
    handler = SignalHandler()
    with handler.listening():
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
    assert handler.signal_number == signal.SIGTERM
    assert came == []


@pytest.mark.parametrize("kind", KINDS)
def test_outside_of_the_block_all_is_as_before(came, kind):
    with SignalHandler().listening():
        os.kill(os.getpid(), kind)
    with pytest.raises(ZeroDivisionError, match="division"), SignalHandler().listening():
        1 / 0  # noqa: B018
    os.kill(os.getpid(), kind)
    assert came == [kind]
