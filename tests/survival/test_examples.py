"""The examples in the docstrings of survlstm.survival print what they say."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest
import torch

from survlstm import survival
from survlstm.survival.kaplan_meier import censoring_curve

MODULES = [f"survlstm.survival.{found.name}" for found in pkgutil.iter_modules(survival.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_every_example_prints_what_it_says(name):
    names = {"np": np, "torch": torch, "censoring_curve": censoring_curve}
    assert doctest.testmod(importlib.import_module(name), extraglobs=names).failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder()
    examples = [one for name in MODULES for one in finder.find(importlib.import_module(name)) if one.examples]
    assert len(examples) >= 20
