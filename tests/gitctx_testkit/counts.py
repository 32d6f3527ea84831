"""How much of the same a test does: little in the suite, much in `make soak`."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings


def few_or_many(few: int, many: int) -> list[Any]:
    """Two values of a parameter that is a count: `few` for the suite, `many` for the soak alone."""
    return [few, pytest.param(many, marks=pytest.mark.soak)]


def examples(number: int) -> int:
    """So many examples of a property in the suite, and in proportion more with Hypothesis's profile `soak`.

    For decorators of a test module: the profile is loaded before test modules are.
    """
    return max(1, number * settings().max_examples // SUITE_EXAMPLES)


SUITE_EXAMPLES = 100
"""What a property that says nothing is tried with in the suite."""
