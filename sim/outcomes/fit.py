"""Fits the shipped response curves to points of published figures, and writes them as YAML.

    python -m sim.outcomes.fit FOLDER [TO]

FOLDER holds `sleep-time-figures.json` (Lin, Snell et al. 2025, Sleep-time Compute, arXiv:2504.13171) and
`sc-vs-genrm-figure.json` (Singhi et al. 2025, When To Solve, When To Verify, arXiv:2504.01005).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from scipy.optimize import least_squares

from sim.outcomes.curves import Curves
from sim.outcomes.difficulty import chances
from sim.outcomes.plurality import plurality_chances
from sim.outcomes.thinking import Prepared, Thinking
from sim.outcomes.verifier import verified_chances
from sim.strategies import Plurality
from sim.workload.blocks import Floats

__all__ = ["fit_all", "write_all"]

Points = list[tuple[float, float]]
Parameters = Floats

MATH_SOURCE = "Singhi et al. 2025, When To Solve, When To Verify, arXiv:2504.01005, figure 1"
SLEEP_SOURCE = "Lin, Snell et al. 2025, Sleep-time Compute, arXiv:2504.13171"
MATH = "math-llama-3.1-8b"

_WRONG_ANSWERS = 12
"""Different wrong answers in a vote: the fit is as good with 3 as with 20 of them."""
_LAMBDA = 2.0
_OVERTHINKING = {"peak": 2.0, "decline": 0.1}
"""Thinking does harm from twice the largest published budget on: assumed."""
_EFFORT_GAINS = {"low": 0.9, "medium": 1.0, "high": 1.1}
_DRAFTS_SCALE = 1.5
_DRAFTS_GAIN_POINTS = 0.13
"""Accuracy that more work ahead brings at most on Stateful GSM-Symbolic, says the paper's abstract."""
_BINS_WEIGHT = 0.6
_AIME_TOKENS = {"low": 4000.0, "medium": 8000.0, "high": 16000.0}
"""Output tokens of a draft for hard mathematics: assumed."""


class Quality(NamedTuple):
    """Errors of a fit in accuracy: of points used, and of points kept for checking."""

    what: str
    used: Floats
    checked: Floats | None = None

    def document(self) -> dict[str, Any]:
        """As curves have it."""
        found = {"what": self.what, "points": self.used.size, **_errors("", self.used)}
        if self.checked is not None and self.checked.size:
            found |= {"checked": self.checked.size, **_errors("checked_", self.checked)}
        return found


def fit_all(folder: Path) -> dict[str, dict[str, Any]]:
    """All shipped classes by name, as their files have them."""
    figures = json.loads((folder / "sleep-time-figures.json").read_text(encoding="utf-8"))
    voting = json.loads((folder / "sc-vs-genrm-figure.json").read_text(encoding="utf-8"))
    math = _fit_math(voting)
    found = {MATH: math}
    bins = figures["fig10_predictability_delta_acc_gpt4o_mini"]
    weights: dict[str, list[float]] = {}
    for level in ("P1", "P2"):
        panel = _panel(figures, f"fig3_{level}", "gpt-4o-mini")
        found[f"stateful-gsm-{level.lower()}-gpt-4o-mini"] = _fit_panel(math, panel, bins=bins[level])
        weights[level] = found[f"stateful-gsm-{level.lower()}-gpt-4o-mini"]["sleep"]["weights"]
        panel = _panel(figures, f"fig3_{level}", "gpt-4o")
        found[f"stateful-gsm-{level.lower()}-gpt-4o"] = _fit_panel(math, panel, weights=weights[level])
    for model in ("o3-mini", "claude-3.7-sonnet"):
        panel = _panel(figures, "fig4_stateful_aime", model)
        found[f"stateful-aime-{model}"] = _fit_panel(math, panel, weights=weights["P2"])
    for level in ("P1", "P2"):
        amortised = _Amortised.of(figures[f"fig9_amortisation_{level}"])
        found[f"multi-query-gsm-{level.lower()}"] = _fit_amortised(math, amortised, weights[level], level)
        for model in ("gpt-4o-mini", "gpt-4o"):
            found[f"stateful-gsm-{level.lower()}-{model}"]["sleep"]["tokens"] = amortised.tokens
    _set_drafts(found)
    return {name: {"name": name, **content} for name, content in found.items()}


def write_all(folder: Path, to: Path) -> None:
    """Fit, and write a file for each class."""
    for name, content in fit_all(folder).items():
        Curves.model_validate(content)
        text = yaml.safe_dump(_rounded(content), sort_keys=False, width=110, allow_unicode=True)
        (to / f"{name}.yaml").write_text(f"# Written by `python -m sim.outcomes.fit`; see data/SOURCES.md.\n{text}")


# ---- votes and verifications


class _Grid(NamedTuple):
    """Published success rates by samples, and by solutions and verifications."""

    votes: Points
    verified: list[tuple[int, int, float]]

    @classmethod
    def of(cls, figure: Mapping[str, Any]) -> _Grid:
        series = {int(name[1:]): points for name, points in figure["by_compute"].items() if name.startswith("V")}
        verified = [
            (_solutions(compute, count), count, rate / 100.0)
            for count, points in sorted(series.items())
            for compute, rate in points
        ]
        return cls([(k, rate / 100.0) for k, rate in figure["SC"]], verified)


def _solutions(compute: float, verifications: int) -> int:
    """Solutions of a point by its compute C = S (1 + lambda V): a power of two."""
    return int(2 ** round(np.log2(compute / (1.0 + _LAMBDA * verifications))))


class _Voting(NamedTuple):
    """Parameters of the class that votes and verifications were published for."""

    mean: float
    concentration: float
    law: Plurality
    right: tuple[float, float]
    wrong: tuple[float, float]

    @classmethod
    def of(cls, raw: Parameters) -> _Voting:
        positive = np.exp(raw).tolist()
        share = _unit(raw[2])
        law = Plurality(_WRONG_ANSWERS, 1.0 + positive[3], share)
        return cls(_unit(raw[0]), positive[1], law, (positive[4], positive[5]), (positive[6], positive[7]))

    def errors(self, grid: _Grid) -> tuple[Floats, Floats]:
        """Of the votes, and of the verified solutions."""
        p = chances(self.mean, self.concentration)
        # Means of four cells will do for means over all.
        p = p.reshape(-1, 4).mean(axis=1)
        votes = [plurality_chances(p, int(k), self.law).mean() - rate for k, rate in grid.votes]
        verified = [verified_chances(p, s, v, self.right, self.wrong).mean() - rate for s, v, rate in grid.verified]
        return np.array(votes), np.array(verified)


def _fit_math(figure: Mapping[str, Any]) -> dict[str, Any]:
    """Every other number of samples, and the series of verifications but the middle one; the rest checks."""
    grid = _Grid.of(figure)
    counts = sorted({v for _, v, _ in grid.verified})
    middle = counts[1:-1:2]
    used = _Grid(grid.votes[:2] + grid.votes[3::2], [row for row in grid.verified if row[1] not in middle])
    kept = _Grid(grid.votes[2::2], [row for row in grid.verified if row[1] in middle])
    start = np.array([-0.65, -0.3, -1.2, -1.0, 1.1, -0.2, -0.6, 0.15])
    found = least_squares(lambda raw: np.concatenate(_Voting.of(raw).errors(used)), start, diff_step=1e-4)
    law = _Voting.of(found.x)
    errors, checks = law.errors(used), law.errors(kept)
    samples = sorted(k for k, _ in kept.votes)
    return {
        "about": "MATH questions answered by Llama-3.1-8B-Instruct, verified by its fine-tuned verifier (GenRM-FT)",
        "source": MATH_SOURCE,
        "difficulty": {"concentration": law.concentration, "status": "fitted"},
        "think": {"ceiling": law.mean, "status": "assumed"},
        "votes": {
            "wrong_answers": law.law.wrong_answers,
            "skew": law.law.skew,
            "blank_share": law.law.blank_share,
            "status": "fitted",
        },
        "verifier": {"right": list(law.right), "wrong": list(law.wrong), "status": "fitted"},
        "sleep": _sleep(1.06, 0.59, 512.0, [1.0], _AIME_TOKENS, status="assumed", weights_status="assumed"),
        "correlation": {"rho": 0.0, "status": "assumed"},
        "fits": [
            Quality(f"votes; {_list(samples)} samples kept for checking", errors[0], checks[0]).document(),
            Quality(
                f"solutions and verifications; {_list(middle)} verifications kept for checking", errors[1], checks[1]
            ).document(),
        ],
        "valid": {
            "samples": [1.0, max(k for k, _ in grid.votes)],
            "solutions": [1.0, float(max(s for s, _, _ in grid.verified))],
            "verifications": [float(min(counts)), float(max(counts))],
        },
    }


# ---- tokens


class _Panel(NamedTuple):
    """Accuracy by test-time tokens without and with preparation."""

    about: str
    figure: str
    bare: Points
    prepared: Points


def _panel(figures: Mapping[str, Any], key: str, model: str) -> _Panel:
    tasks = {"fig3_P1": "Stateful GSM-Symbolic P1", "fig3_P2": "Stateful GSM-Symbolic P2"}
    number = key.removeprefix("fig")[0]
    bare, prepared = (sorted(map(tuple, figures[key][f"{model} {series}"])) for series in ("test-only", "sleep"))
    return _Panel(f"{tasks.get(key, 'Stateful AIME')} answered by {model}", f"figure {number}", bare, prepared)


def _fit_thinking(points: Points) -> Thinking:
    """A Hill curve by least squares; its floor is free where there are more than three points."""
    tokens, rates = np.array(points).T
    has_floor = len(points) > 3
    full = float(tokens.max())

    def curve(raw: Parameters) -> Thinking:
        ceiling = rates.max() + (1.0 - rates.max()) * _unit(raw[0])
        floor = rates.min() * _unit(raw[3]) if has_floor else 0.0
        return Thinking(
            ceiling, floor, float(np.exp(raw[1])), float(np.exp(raw[2])), _OVERTHINKING["peak"] * full,
            _OVERTHINKING["decline"],
        )  # fmt: skip

    def errors(raw: Parameters) -> Floats:
        return np.array([curve(raw).accuracy(b) for b in tokens]) - rates

    starts = [
        np.array([top, np.log(np.median(tokens)), slope, *([2.0] if has_floor else [])])
        for top in (-3.0, 0.0, 3.0)
        for slope in (0.0, 1.0)
    ]
    return curve(_best(errors, starts))


def _fit_prepared(
    thinking: Thinking, points: Points, full: float, weights: Floats, gains: Sequence[float] | None = None
) -> tuple[Prepared, Floats]:
    """m(b) by least squares on accuracy, and the errors."""

    def law(raw: Parameters) -> Prepared:
        return Prepared(float(np.exp(raw[0])), 0.95 * _unit(raw[1]), full)

    def errors(raw: Parameters) -> Floats:
        return _prepared_errors(thinking, law(raw), points, weights, gains)

    raw = _best(errors, [np.array([0.05, 0.0]), np.array([-0.4, 1.0])])
    return law(raw), errors(raw)


def _prepared_errors(
    thinking: Thinking, law: Prepared, points: Points, weights: Floats, gains: Sequence[float] | None = None
) -> Floats:
    each = zip(points, gains or [1.0] * len(points), strict=True)
    found = [_by_bin(thinking, law, b, weights * gain).mean() - rate for (b, rate), gain in each]
    return np.array(found, np.float64)


def _by_bin(thinking: Thinking, law: Prepared, tokens: float, weights: Floats) -> Floats:
    return np.array([thinking.accuracy(law.equivalent(tokens, weight)) for weight in weights])


def _fit_bins(thinking: Thinking, panel: _Panel, full: float, gains: Floats) -> tuple[Prepared, Floats]:
    """m(b) and its exponents by bin of predictability, together, from the prepared points and the bins' gains.

    The bins' mean need not be the gain of the panel's own point: figure 10 was measured apart.
    """
    lowest, (bare, _) = panel.prepared[0][0], panel.bare[0]

    def law(raw: Parameters) -> tuple[Prepared, Floats]:
        weights = np.exp(raw[2:])
        return Prepared(float(np.exp(raw[0])), 0.7 * _unit(raw[1]), full), weights / weights.mean()

    def errors(raw: Parameters) -> Floats:
        prepared, weights = law(raw)
        gained = _by_bin(thinking, prepared, lowest, weights) - thinking.accuracy(bare)
        points = _prepared_errors(thinking, prepared, panel.prepared, weights)
        return np.concatenate((points, _BINS_WEIGHT * (gained - gains)))

    return law(_best(errors, [np.zeros(2 + gains.size), np.array([-0.4, 1.0, *np.zeros(gains.size)])]))


def _fit_panel(
    math: Mapping[str, Any], panel: _Panel, *, bins: list[float] | None = None, weights: list[float] | None = None
) -> dict[str, Any]:
    thinking = _fit_thinking(panel.bare)
    full = panel.bare[-1][0]
    bare = f"{panel.figure}, without preparation: {_hill(panel.bare)}"
    fits = [Quality(bare, _thinking_errors(thinking, panel.bare))]
    if bins is not None:
        law, found = _fit_bins(thinking, panel, full, np.array(bins))
        gained = _by_bin(thinking, law, panel.prepared[0][0], found) - thinking.accuracy(panel.bare[0][0])
        fits.append(Quality("figure 10, gain by predictability", gained - np.array(bins)))
        status = "fitted"
    else:
        found, status = np.array(weights), "assumed"
        law, _ = _fit_prepared(thinking, panel.prepared, full, found)
    errors = _prepared_errors(thinking, law, panel.prepared, found)
    told = f"{panel.figure}, prepared: m(b); checked by leaving out each point in turn"
    fits.insert(1, Quality(told, errors, _left_out(thinking, panel.prepared, full, found)))
    sleep = _sleep(law.scale, law.exponent, full, found.tolist(), _AIME_TOKENS, status="fitted", weights_status=status)
    source = f"{SLEEP_SOURCE}, {_figures(panel.figure, bins)}"
    return _class(math, panel.about, source, thinking, sleep, fits, panel.bare)


def _left_out(
    thinking: Thinking, points: Points, full: float, weights: Floats, gains: Sequence[float] | None = None
) -> Floats:
    """The error of each point in a fit without it."""
    errors = []
    for place in range(len(points)):
        others = [point for at, point in enumerate(points) if at != place]
        others_gains = None if gains is None else [gain for at, gain in enumerate(gains) if at != place]
        law, _ = _fit_prepared(thinking, others, full, weights, others_gains)
        own = None if gains is None else [gains[place]]
        errors.append(_prepared_errors(thinking, law, [points[place]], weights, own)[0])
    return np.array(errors)


# ---- amortisation over the questions of a context


class _Amortised(NamedTuple):
    """C(N) = T + S / N by budget, from the points at one question a context and at most."""

    spent: list[float]
    """T: test-time tokens a question."""
    asleep: list[float]
    """S: sleep tokens a context, a tenth of them."""
    rates: list[float]
    bare: Points
    checks: Floats
    """Relative errors of C(N) at the numbers of questions between."""

    @classmethod
    def of(cls, panel: Mapping[str, list[list[float]]]) -> _Amortised:
        counts = sorted(int(name[1:]) for name in panel if name.startswith("q"))
        few, most = counts[0], counts[-1]
        once, often = (np.array(sorted(panel[f"q{n}"])) for n in (few, most))
        asleep = (once[:, 0] - often[:, 0]) / (1.0 / few - 1.0 / most)
        spent = once[:, 0] - asleep / few
        checks = [
            (spent + asleep / n) / np.array(sorted(panel[f"q{n}"]))[:, 0] - 1.0 for n in counts if n not in (few, most)
        ]
        return cls(
            spent.tolist(),
            asleep.tolist(),
            once[:, 1].tolist(),
            sorted((float(b), float(rate)) for b, rate in panel["test-only"]),
            np.concatenate(checks) if checks else np.zeros(0),
        )

    @property
    def tokens(self) -> dict[str, float]:
        """Sleep tokens by effort: ten for each test-time token that they weigh."""
        return {effort: 10.0 * s for effort, s in zip(_EFFORT_GAINS, self.asleep, strict=True)}


def _fit_amortised(math: Mapping[str, Any], panel: _Amortised, weights: list[float], level: str) -> dict[str, Any]:
    thinking = _fit_thinking(panel.bare)
    full = panel.bare[-1][0]
    points = list(zip(panel.spent, panel.rates, strict=True))
    gains = list(_EFFORT_GAINS.values())
    law, errors = _fit_prepared(thinking, points, full, np.array(weights), gains)
    between = f"; C(N) between them is off by {np.abs(panel.checks).max():.1%} at most" if panel.checks.size else ""
    fits = [
        Quality(f"figure 9, without preparation: {_hill(panel.bare)}", _thinking_errors(thinking, panel.bare)),
        Quality(
            f"figure 9, prepared: m(b); checked by leaving out each point in turn; tokens from one question a context "
            f"and from most{between}",
            errors,
            _left_out(thinking, points, full, np.array(weights), gains),
        ),
    ]
    sleep = _sleep(
        law.scale, law.exponent, full, weights, panel.tokens, status="fitted", weights_status="assumed",
        tokens_status="fitted",
    )  # fmt: skip
    about = f"Multi-Query GSM-Symbolic {level} answered by gpt-4o-mini"
    return _class(math, about, f"{SLEEP_SOURCE}, figure 9", thinking, sleep, fits, panel.bare)


# ---- documents


def _class(
    math: Mapping[str, Any],
    about: str,
    source: str,
    thinking: Thinking,
    sleep: dict[str, Any],
    fits: Sequence[Quality],
    bare: Points,
) -> dict[str, Any]:
    """A class whose votes, verifier and spread of difficulty are taken from that of the votes."""
    return {
        "about": about,
        "source": source,
        "difficulty": {**math["difficulty"], "status": "assumed"},
        "think": {
            "ceiling": thinking.ceiling,
            "floor": thinking.floor,
            "half_tokens": thinking.half_tokens,
            "steepness": thinking.steepness,
            "peak_tokens": thinking.peak_tokens,
            "decline": thinking.decline,
            "status": "fitted",
        },
        "votes": {**math["votes"], "status": "assumed"},
        "verifier": {**math["verifier"], "status": "assumed"},
        "sleep": sleep,
        "correlation": {"rho": 0.0, "status": "assumed"},
        "fits": [fit.document() for fit in fits],
        "valid": {"budget_tokens": [float(bare[0][0]), float(bare[-1][0])]},
    }


def _sleep(
    scale: float,
    exponent: float,
    full: float,
    weights: Sequence[float],
    tokens: Mapping[str, float],
    *,
    status: str,
    weights_status: str,
    tokens_status: str = "assumed",
) -> dict[str, Any]:
    return {
        "scale": scale,
        "exponent": exponent,
        "full_tokens": full,
        "weights": list(weights),
        "weights_status": weights_status,
        "tokens": dict(tokens),
        "tokens_status": tokens_status,
        "gains": {"effort": dict(_EFFORT_GAINS), "drafts": 0.0, "drafts_scale": _DRAFTS_SCALE, "status": "assumed"},
        "status": status,
    }


def _set_drafts(classes: Mapping[str, dict[str, Any]]) -> None:
    """Let many drafts bring at most the accuracy that was published, on the class it was published for."""
    own = Curves.model_validate({"name": "own", **classes["stateful-gsm-p1-gpt-4o-mini"]})
    thinking, law = own.think.thinking(), own.sleep.prepared()
    weights = np.array(own.sleep.weights)
    low, high = own.valid.budget_tokens or (1.0, 1.0)

    def most(drafts: float) -> float:
        gains = [
            np.mean(_by_bin(thinking, law, b, weights * (1.0 + drafts)) - _by_bin(thinking, law, b, weights))
            for b in np.geomspace(low, high, 30)
        ]
        return float(max(gains)) - _DRAFTS_GAIN_POINTS

    from scipy.optimize import brentq

    drafts = float(brentq(most, 0.0, 2.0))
    for content in classes.values():
        content["sleep"]["gains"]["drafts"] = drafts


def _hill(points: Points) -> str:
    return "Hill curve" if len(points) > 3 else "Hill curve through three points, none kept for checking"


def _figures(figure: str, bins: object) -> str:
    return f"{figure}s and 10".replace("figure 3s", "figures 3") if bins is not None else figure


def _thinking_errors(thinking: Thinking, points: Points) -> Floats:
    return np.array([thinking.accuracy(b) - rate for b, rate in points])


def _best(errors: Callable[[Parameters], Floats], starts: Sequence[Parameters]) -> Parameters:
    fits = [least_squares(errors, start, diff_step=1e-5, xtol=1e-12, ftol=1e-12) for start in starts]
    best: Parameters = min(fits, key=lambda fit: float(fit.cost)).x
    return best


def _unit(raw: float) -> float:
    return float(1.0 / (1.0 + np.exp(-raw)))


def _errors(prefix: str, errors: Floats) -> dict[str, float]:
    return {
        f"{prefix}rms_error": float(np.sqrt(np.mean(errors**2))),
        f"{prefix}worst_error": float(np.abs(errors).max()),
    }


def _list(numbers: Sequence[float]) -> str:
    return ", ".join(f"{number:g}" for number in numbers)


def _rounded(value: Any) -> Any:
    """Five digits of every number."""
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    if isinstance(value, bool) or not isinstance(value, float):
        return value
    return 0.0 if abs(value) < 1e-6 else float(f"{value:.5g}")


if __name__ == "__main__":
    from sim.paths import data_path

    write_all(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else data_path("curves"))
