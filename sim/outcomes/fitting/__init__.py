"""Fits the shipped response curves to points of published figures.

    python -m sim.outcomes.fitting FOLDER [TO]

writes them as YAML, to `data/curves/` where no other folder is given. FOLDER holds `sleep-time-figures.json`, points of
Lin, Snell et al. 2025, Sleep-time Compute, arXiv:2504.13171, and `sc-vs-genrm-figure.json`, points of Singhi et al.
2025, When To Solve, When To Verify, arXiv:2504.01005.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy.optimize import brentq

from sim.outcomes.curves import Curves
from sim.outcomes.fitting.amortised import Amortised, fit_amortised
from sim.outcomes.fitting.documents import rounded
from sim.outcomes.fitting.panels import fit_panel, panel_of
from sim.outcomes.fitting.tokens import by_bin
from sim.outcomes.fitting.votes import fit_votes

__all__ = ["fit_all", "write_all"]

_LEVELS = ("P1", "P2")
_SMALL, _LARGE = "gpt-4o-mini", "gpt-4o"
_DRAFTS_GAIN = 0.13
"""Accuracy that more work ahead brings at most on Stateful GSM-Symbolic, says the paper's abstract."""

Documents = dict[str, dict[str, Any]]


def fit_all(folder: Path) -> Documents:
    """All fitted classes by name, as their files have them."""
    votes = fit_votes(_read(folder, "sc-vs-genrm-figure.json"))
    figures = _read(folder, "sleep-time-figures.json")
    found = {"math-llama-3.1-8b": votes}
    for level in _LEVELS:
        found |= _grade_school(votes, figures, level)
    harder = found[f"stateful-gsm-p2-{_SMALL}"]["sleep"]["weights"]
    for model in ("o3-mini", "claude-3.7-sonnet"):
        panel = panel_of(figures, "fig4_stateful_aime", "Stateful AIME", model)
        found[f"stateful-aime-{model}"] = fit_panel(votes, panel, weights=harder)
    _set_drafts(found)
    return {name: rounded({"name": name, **content}) for name, content in found.items()}


def write_all(folder: Path, to: Path) -> None:
    """Fit, and write a file for each class."""
    for name, content in fit_all(folder).items():
        Curves.model_validate(content)
        text = yaml.safe_dump(content, sort_keys=False, width=110, allow_unicode=True)
        head = "# Written by `python -m sim.outcomes.fitting`; see data/SOURCES.md.\n"
        (to / f"{name}.yaml").write_text(head + text, encoding="utf-8")


def _read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text(encoding="utf-8"))


def _grade_school(votes: dict[str, Any], figures: Any, level: str) -> Documents:
    """The classes of one level of difficulty; predictability was published for the small model."""
    task, key = f"Stateful GSM-Symbolic {level}", f"fig3_{level}"
    bins = figures["fig10_predictability_delta_acc_gpt4o_mini"][level]
    small = fit_panel(votes, panel_of(figures, key, task, _SMALL), bins=bins)
    weights = small["sleep"]["weights"]
    large = fit_panel(votes, panel_of(figures, key, task, _LARGE), weights=weights)
    amortised = Amortised.of(figures[f"fig9_amortisation_{level}"])
    for content in (small, large):
        content["sleep"]["tokens"] = amortised.tokens
    about = f"Multi-Query GSM-Symbolic {level} answered by {_SMALL}"
    return {
        f"stateful-gsm-{level.lower()}-{_SMALL}": small,
        f"stateful-gsm-{level.lower()}-{_LARGE}": large,
        f"multi-query-gsm-{level.lower()}": fit_amortised(votes, amortised, about, weights),
    }


def _set_drafts(classes: Documents) -> None:
    """Let many drafts bring at most the accuracy that was published, on the class it was published for."""
    own = Curves.model_validate({"name": "own", **classes[f"stateful-gsm-p1-{_SMALL}"]})
    thinking, law, weights = own.think.thinking(), own.sleep.prepared(), np.array(own.sleep.weights)
    budgets = np.geomspace(*(own.valid.budget_tokens or (1.0, 1.0)), 30)

    def short_of(drafts: float) -> float:
        more = [by_bin(thinking, law, b, weights * (1.0 + drafts)).mean() for b in budgets]
        one = [by_bin(thinking, law, b, weights).mean() for b in budgets]
        return float(np.max(np.subtract(more, one))) - _DRAFTS_GAIN

    drafts = float(brentq(short_of, 0.0, 2.0))
    for content in classes.values():
        content["sleep"]["gains"]["drafts"] = drafts
