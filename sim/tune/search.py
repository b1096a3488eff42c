"""The search itself: settings are asked of a sampler in rounds, simulated, and told to it.

A round has a fixed number of settings, so what is tried hangs on the seed alone and not on how many run side by side.
The sampler is optuna's tree-structured Parzen estimator for several objectives and constraints (Ozaki et al., 2022,
doi:10.1613/jair.1.13188). Where there are no more settings than trials, all of them are tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sim.errors import InputError
from sim.tune.front import Setting, Tried
from sim.tune.space import Choices, Dimension, Value, all_settings, rounded, size_of

__all__ = ["check_optuna", "searched"]

_ROUND = 8
"""Settings asked for at a time."""
_FIRST_ROUNDS = 2
"""Rounds at random before the sampler learns."""

Judge = Callable[[Sequence[Setting]], Iterator[Tried]]
"""Gives what settings came to, in their order."""


def check_optuna() -> None:
    """Refuse to begin without optuna.

    Raises:
        InputError: where it is missing.
    """
    try:
        import optuna  # noqa: F401
    except ImportError:
        remedy = "add it with: pip install 'nightshift[tune]'"
        raise InputError("optuna", "is needed to tune a scenario and is not installed", remedy) from None


def searched(space: Sequence[Dimension], judge: Judge, *, trials: int, objectives: int, seed: int) -> Iterator[Tried]:
    """Settings with what they came to, as they are done. One that comes again is not judged again, but counts."""
    if size_of(space) <= trials:
        yield from judge(all_settings(space))
        return
    study = _study(objectives, seed)
    distributions = {dimension.key: _distribution(dimension) for dimension in space}
    known: dict[tuple[Value, ...], Tried] = {}
    for begin in range(0, trials, _ROUND):
        asked = [study.ask(distributions) for _ in range(min(_ROUND, trials - begin))]
        settings = [_setting(space, trial.params) for trial in asked]
        for tried in judge(_unknown(settings, known)):
            known[tuple(tried.setting.values())] = tried
            yield tried
        for trial, setting in zip(asked, settings, strict=True):
            _tell(study, trial, known[tuple(setting.values())])


def _unknown(settings: Sequence[Setting], known: Mapping[tuple[Value, ...], Tried]) -> list[Setting]:
    fresh = {tuple(setting.values()): setting for setting in settings}
    return [setting for key, setting in fresh.items() if key not in known]


def _distribution(dimension: Dimension) -> Any:
    from optuna import distributions as kinds

    if isinstance(dimension, Choices):
        return kinds.CategoricalDistribution(list(dimension.values))
    if dimension.is_whole:
        return kinds.IntDistribution(round(dimension.low), round(dimension.high), log=dimension.is_log)
    return kinds.FloatDistribution(dimension.low, dimension.high, log=dimension.is_log)


def _setting(space: Sequence[Dimension], params: Mapping[str, Any]) -> Setting:
    """What is tried of what was asked: numbers with few figures."""
    return {
        dimension.key: params[dimension.key]
        if isinstance(dimension, Choices)
        else rounded(params[dimension.key], dimension)
        for dimension in space
    }


def _tell(study: Any, trial: Any, tried: Tried) -> None:
    """What has nothing to measure has failed, and is not come back to."""
    from optuna.trial import TrialState

    if not all(abs(loss) < float("inf") for loss in tried.losses):
        study.tell(trial, state=TrialState.FAIL)
        return
    trial.set_constraint("slo", tried.excess)
    study.tell(trial, tried.losses)


def _study(objectives: int, seed: int) -> Any:
    """A study that says nothing; what it calls experimental in its sampler was tried with the versions we ask for."""
    import warnings

    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            sampler = optuna.samplers.TPESampler(
                seed=seed, multivariate=True, constant_liar=True, n_startup_trials=_ROUND * _FIRST_ROUNDS
            )
        return optuna.create_study(directions=["minimize"] * objectives, sampler=sampler)
    finally:
        optuna.logging.set_verbosity(before)
