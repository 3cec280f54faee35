"""Every random generator is seeded, and restored from a checkpoint."""

import random

import numpy as np
import pytest
import torch

from survlstm.training.checkpoint import load_checkpoint, write_checkpoint
from survlstm.training.seeding import random_states, restore_random_states, seed_everything


@pytest.fixture(autouse=True)
def as_before():
    """Restore generators and torch's settings after the test."""
    states, deterministic = random_states(), torch.are_deterministic_algorithms_enabled()
    yield
    restore_random_states(states)
    torch.use_deterministic_algorithms(deterministic)


def drawn():
    """Draw from all generators; an odd number of normal values, since NumPy and Python generate them in pairs."""
    return (
        [random.random(), random.gauss(0.0, 1.0), random.randrange(10**9)],
        [*np.random.normal(size=3), *np.random.randint(0, 10**9, size=2), *np.random.permutation(5)],
        [*torch.rand(3).tolist(), *torch.randn(3).tolist(), *torch.randperm(5).tolist()],
    )


def test_one_seed_gives_one_sequence_and_another_seed_another():
    found = []
    for seed in (3, 3, 4):
        seed_everything(seed, deterministic=False)
        found.append(drawn())
    assert found[0] == found[1]
    for one, other in zip(found[0], found[2], strict=True):
        assert not set(one[:2]) & set(other[:2])


@pytest.mark.parametrize("draws", [0, 1, 300])
def test_they_go_on_where_a_checkpoint_found_them(tmp_path, draws):
    seed_everything(5, deterministic=False)
    for _ in range(draws):
        drawn()
    write_checkpoint(tmp_path / "last.pt", {"random": random_states()})
    expected = [drawn() for _ in range(3)]
    seed_everything(99, deterministic=False)
    drawn()
    restore_random_states(load_checkpoint(tmp_path / "last.pt")["random"])
    assert [drawn() for _ in range(3)] == expected


def test_looking_at_the_states_draws_nothing():
    seed_everything(5, deterministic=False)
    expected = drawn()
    seed_everything(5, deterministic=False)
    random_states()
    assert drawn() == expected


def test_states_of_more_cuda_devices_than_there_are_are_left_out():
    states = random_states()
    states["cuda"] = [torch.get_rng_state()] * (torch.cuda.device_count() + 1)
    seed_everything(99, deterministic=False)
    restore_random_states(states)
    assert torch.equal(torch.get_rng_state(), states["torch"])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_goes_on_too(tmp_path):
    seed_everything(5, deterministic=False)
    write_checkpoint(tmp_path / "last.pt", {"random": random_states()})
    expected = torch.rand(5, device="cuda").tolist()
    seed_everything(99, deterministic=False)
    restore_random_states(load_checkpoint(tmp_path / "last.pt")["random"])
    assert torch.rand(5, device="cuda").tolist() == expected


@pytest.mark.parametrize("deterministic", [True, False])
def test_kernels_that_hang_on_timing_are_refused_when_asked(deterministic):
    seed_everything(0, deterministic=deterministic)
    assert torch.are_deterministic_algorithms_enabled() is deterministic
    assert torch.utils.deterministic.fill_uninitialized_memory is False
