"""Every example in a docstring of the package is run and must print what it says."""

import doctest
import importlib
import pkgutil

import pytest

import graph

MODULES = sorted(module.name for module in pkgutil.walk_packages(graph.__path__, "graph."))


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_in_docstrings_print_what_they_say(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def test_the_public_classes_have_examples_to_run() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    with_examples = {
        test.name for name in MODULES for test in finder.find(importlib.import_module(name)) if test.examples
    }
    assert {"graph.forest.InviteForest", "graph.ids.IdIndex", "graph.lineage.subtree"} <= with_examples
