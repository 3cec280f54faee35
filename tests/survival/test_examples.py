"""The examples in the docstrings of survlstm.survival print what they say."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest
import torch

from survlstm import survival
from survlstm.survival.kaplan_meier import censoring_curve

MODULES = [
    "survlstm.survival",
    *(f"survlstm.survival.{found.name}" for found in pkgutil.iter_modules(survival.__path__)),
]
# Checks of arguments, and parts from which other functions are made.
INTERNAL = {"PairCounts", "count_pairs", "pairs_within", "read_steps"}


@pytest.mark.parametrize("name", MODULES)
def test_every_example_prints_what_it_says(name):
    names = {"np": np, "torch": torch, "censoring_curve": censoring_curve}
    assert doctest.testmod(importlib.import_module(name), extraglobs=names).failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    examples = [one for name in MODULES for one in finder.find(importlib.import_module(name)) if one.examples]
    assert len(examples) >= 20


def test_every_public_name_is_exported():
    found = {
        name
        for module in MODULES[1:]
        for name, value in vars(importlib.import_module(module)).items()
        if getattr(value, "__module__", "") == module and not name.startswith(("_", "check_"))
    }
    assert set(survival.__all__) == found - INTERNAL
    assert all(callable(getattr(survival, name)) for name in survival.__all__)


@pytest.mark.parametrize("name", [name for name in survival.__all__ if name[0].islower()])
def test_every_function_documents_arguments_result_and_an_example(name):
    documentation = getattr(survival, name).__doc__
    assert all(part in documentation for part in ("Args:", "Returns:", "Example:"))
