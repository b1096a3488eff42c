"""The policies a plan may choose from: every combination of what `plan.vary` names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import floor, isfinite, prod
from pathlib import Path

from sim.errors import InputError, ScenarioError
from sim.load import load_scenario
from sim.scenario import Scenario
from sim.tune.space import Choices, parse_vary

__all__ = ["MOST_OPTIONS", "Option", "policy_options", "values_of"]

MOST_OPTIONS = 256
"""Most combinations: each of them is worked out, so more would take longer than anybody waits."""


@dataclass(frozen=True)
class Option:
    """A policy: the scenario with some settings."""

    settings: Mapping[str, str]
    """Values by key, as they are written; none where the scenario is taken as it is."""
    scenario: Scenario

    @property
    def label(self) -> str:
        """The settings in one line."""
        return ", ".join(f"{key}={value}" for key, value in self.settings.items()) or "as it is"


def policy_options(
    source: Path | str, overrides: Sequence[str], vary: Sequence[str]
) -> tuple[tuple[Option, ...], list[str]]:
    """All combinations that the scenario takes, and why it does not take the others.

    Raises:
        InputError: for a key without values, for more combinations than MOST_OPTIONS, where none is taken, and where
            one changes what pools there are.
    """
    keys = [values_of(text) for text in vary]
    if (count := prod(len(values) for _, values in keys)) > MOST_OPTIONS:
        raise InputError(count, f"combinations in plan.vary are more than {MOST_OPTIONS}", "vary fewer keys or values")
    options, refused = [], []
    for combined in product(*(values for _, values in keys)):
        settings = dict(zip((key for key, _ in keys), combined, strict=True))
        try:
            options.append(_option(source, overrides, settings))
        except ScenarioError as error:
            if not settings:
                raise
            refused.append(f"{', '.join(f'{k}={v}' for k, v in settings.items())} was left out: {error.faults[0]}")
    if not options:
        raise InputError("plan.vary", f"has no combination that the scenario takes ({refused[0]})", "mend its values")
    _check_pools(options)
    return tuple(options), refused


def values_of(text: str) -> tuple[str, tuple[str, ...]]:
    """A key and its values, from `KEY=A,B,C` or `KEY=LOW:HIGH:STEP`.

    >>> values_of("router.above=0:0.2:0.1")
    ('router.above', ('0', '0.1', '0.2'))
    >>> values_of("sleep.effort=low,high")
    ('sleep.effort', ('low', 'high'))

    Raises:
        InputError: for anything else.
    """
    key, _, told = (part.strip() for part in text.partition("="))
    steps = _steps(told) if key and told.count(":") == 2 and not set(told) & set("{[,\"'") else ()
    if steps:
        return key, steps
    dimension = parse_vary(text)
    if isinstance(dimension, Choices):
        return dimension.key, dimension.values
    raise InputError(text, "does not say which values to try", "write KEY=A,B,C or KEY=LOW:HIGH:STEP")


def _steps(told: str) -> tuple[str, ...]:
    try:
        low, high, step = (float(part) for part in told.split(":"))
    except ValueError:
        return ()
    if not (isfinite(low) and isfinite(high) and low < high and step > 0.0):
        return ()
    return tuple(f"{low + step * n:.10g}" for n in range(floor((high - low) / step + 1e-9) + 1))


def _option(source: Path | str, overrides: Sequence[str], settings: Mapping[str, str]) -> Option:
    return Option(settings, load_scenario(source, [*overrides, *(f"{key}={value}" for key, value in settings.items())]))


def _check_pools(options: Sequence[Option]) -> None:
    first = [pool.name for pool in options[0].scenario.fleet]
    for option in options:
        if [pool.name for pool in option.scenario.fleet] != first:
            raise InputError(option.label, "changes what pools there are", "vary their number with plan.pools")
