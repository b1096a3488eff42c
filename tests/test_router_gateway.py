"""A gateway's router: what it weighs, why it chose, how a budget holds it back, and how little it needs around it."""

from __future__ import annotations

import re
import subprocess
import sys
from math import exp, inf, log
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from router.choose import normal_cdf
from router.errors import RouterError
from router.features import FeatureSpec
from router.gateway import Request, Router, StrategyLoad, StrategyPrice
from router.pacing import Pacer, next_multiplier
from tests.made_router import Made, chances

ROOT = Path(__file__).resolve().parents[1]
CHEAP = {"direct": StrategyPrice(1e-7, 1e-6), "think": StrategyPrice(1e-7, 1e-6)}


def asking(hard: float, **given: Any) -> Request:
    return Request(**({"prompt_tokens": 100, "value_usd": 0.01, "numbers": {"hard": hard, "long": 2}} | given))


@pytest.fixture(scope="module")
def router(tmp_path_factory: pytest.TempPathFactory) -> Router:
    return Router.load(Made().write(tmp_path_factory.mktemp("router") / "router.onnx"))


def test_hard_questions_are_thought_about_while_that_pays(router: Router) -> None:
    decisions = router.choose([asking(0.05), asking(0.9)], router.prices(CHEAP))

    assert decisions.strategies == ["direct", "think"]


def test_a_decision_says_what_it_was_made_of(router: Router) -> None:
    (decision,) = router.choose([asking(0.9)], router.prices(CHEAP), mu=2.0)
    p = chances(np.array([[0.9, 2.0]]))[0]
    tokens = exp(6.0 + 0.5 * 0.5**2)
    utility_usd = 0.01 * p[1] - 2.0 * (1e-5 + 1e-6 * tokens)

    assert decision.p_correct == pytest.approx(p[1], abs=1e-6)
    assert decision.output_tokens == pytest.approx(tokens, rel=1e-6)
    assert decision.cost_usd == pytest.approx(1e-5 + 1e-6 * tokens, rel=1e-6)
    assert decision.utility_usd == pytest.approx(utility_usd, rel=1e-5)
    assert re.fullmatch(r"think: .* value - .* cost - 0 lateness; next direct: .* USD = .*", decision.why)


def test_dear_tokens_make_it_answer_at_once(router: Router) -> None:
    dear = {"direct": CHEAP["direct"], "think": StrategyPrice(1e-7, 1e-4)}

    assert router.choose([asking(0.9)], router.prices(dear)).strategies == ["direct"]


def test_a_strategy_without_a_price_is_never_chosen(router: Router) -> None:
    prices = router.prices({"direct": CHEAP["direct"]})

    assert router.choose([asking(0.9)], prices).strategies == ["direct"]


def test_who_would_be_late_answers_sooner(router: Router) -> None:
    load = router.load_now({"direct": StrategyLoad(0.02), "think": StrategyLoad(0.02, wait_s=1.0, path_share=0.5)})
    promised = router.choose([asking(0.9, e2e_slo_s=2.0), asking(0.9)], router.prices(CHEAP), load)

    assert promised.strategies == ["direct", "think"]
    assert promised[1].e2e_s == pytest.approx(1.0 + 0.02 * 0.5 * exp(6.125), rel=1e-6)
    assert (promised[1].p_late, promised[0].p_late) == (0.0, pytest.approx(0.0016, abs=2e-4))
    late = promised.choices.terms.p_late[0, 1]
    assert late == pytest.approx(normal_cdf(np.array(log(promised[1].e2e_s / 2.0) / 0.5)), rel=1e-5)


def test_lateness_costs_what_it_is_said_to(router: Router) -> None:
    load = router.load_now({name: StrategyLoad(0.02) for name in router.strategies})
    asked = [asking(0.9, e2e_slo_s=5.0, lateness_usd=usd) for usd in (0.0, 0.01)]

    assert router.choose(asked, router.prices(CHEAP), load).strategies == ["think", "direct"]


def test_prepared_contexts_are_judged_by_what_they_do(tmp_path: Path) -> None:
    """Here preparation makes direct answers as good as they are on the easiest question."""

    def spoil(model: Any) -> None:
        node = next(node for node in model.graph.node if node.output[0] == "p_correct_prepared")
        node.op_type, node.input[0] = "Sigmoid", "offsets_n"
        node.input[0] = "ready"
        add = type(node)()
        add.op_type = "Add"
        add.input.extend(["nothing", "offsets"])
        add.output.append("ready")
        model.graph.node.insert(len(model.graph.node) - 3, add)

    router = Router.load(Made(prepared=True, spoil=spoil).write(tmp_path / "router.onnx"))
    decisions = router.choose([asking(0.9), asking(0.9, prepared=True)], router.prices(CHEAP))

    assert decisions.strategies == ["think", "direct"]
    assert decisions[1].p_correct == pytest.approx(1.0 / (1.0 + exp(-3.0)), rel=1e-5)


def test_a_router_that_reads_texts_is_given_them(tmp_path: Path) -> None:
    spec = FeatureSpec((), text=True, hashed=64).document()
    router = Router.load(Made(features=spec).write(tmp_path / "router.onnx"))
    asked = [Request(5, 0.01, text="What is 2 + 2?"), Request(5, 0.01, text="")]

    assert len(router.choose(asked, router.prices(CHEAP))) == 2
    with pytest.raises(RouterError, match="has no text, which this router reads"):
        router.choose([asking(0.5)], router.prices(CHEAP))


def test_one_request_is_decided_as_among_many(router: Router) -> None:
    asked = [asking(hard, e2e_slo_s=slo_s) for hard in np.linspace(0, 1, 50) for slo_s in (1.0, 10.0, inf)]
    load = router.load_now({name: StrategyLoad(0.01) for name in router.strategies})
    together = router.choose(asked, router.prices(CHEAP), load)
    alone = [router.choose([request], router.prices(CHEAP), load)[0] for request in asked]

    assert [decision.strategy for decision in alone] == together.strategies
    assert {"direct", "think"} == set(together.strategies)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "tokens": ({"prompt_tokens": -1}, "prompt_tokens=-1.0 is no number of tokens"),
    "value": ({"value_usd": float("nan")}, "value_usd=nan is no value of an answer"),
    "promise": ({"e2e_slo_s": 0.0}, "e2e_slo_s=0.0 is not above zero"),
    "lateness": ({"lateness_usd": -0.5}, "lateness_usd=-0.5 is no cost of being late"),
    "numbers": ({"numbers": {"hard": 0.5}}, "long is a number that this router reads and a request lacks"),
    "no number": ({"numbers": {"hard": 0.5, "long": float("nan")}}, "must be a finite number"),
}


@pytest.mark.parametrize(("given", "told"), WRONG.values(), ids=WRONG)
def test_a_request_that_cannot_be_is_refused(given: dict[str, Any], told: str, router: Router) -> None:
    with pytest.raises(RouterError, match=re.escape(told)):
        router.choose([asking(0.5, **given)], router.prices(CHEAP))


def test_prices_and_loads_that_cannot_be_are_refused(router: Router) -> None:
    with pytest.raises(RouterError, match="vote has a price but is no strategy of this router"):
        router.prices({"vote": StrategyPrice(0.0, 0.0)})
    with pytest.raises(RouterError, match="below zero or no number"):
        router.prices({"direct": StrategyPrice(0.0, -1e-6)})
    with pytest.raises(RouterError, match="no strategy has a price"):
        router.prices({})
    with pytest.raises(RouterError, match="below zero or no number"):
        router.load_now({"direct": StrategyLoad(float("nan"))})
    with pytest.raises(RouterError, match="think has a price but no load"):
        router.choose([asking(0.5)], router.prices(CHEAP), router.load_now({"direct": StrategyLoad(0.01)}))
    with pytest.raises(RouterError, match="is below 1 or no number"):
        router.choose([asking(0.5)], router.prices(CHEAP), mu=0.5)


def test_a_budget_is_kept(router: Router) -> None:
    """Spending at the pacer's multiplier settles at the allowance, which thinking always would exceed tenfold."""
    generator, pacer = np.random.default_rng(3), Pacer(usd_per_hour=0.2, now_s=0.0)
    spent_usd = np.zeros(600)
    for minute in range(600):
        now_s = 60.0 * minute
        asked = [asking(hard) for hard in generator.random(20)]
        decisions = router.choose(asked, router.prices(CHEAP), mu=pacer.mu(now_s))
        spent_usd[minute] = sum(decision.cost_usd for decision in decisions)
        pacer.spend(spent_usd[minute], now_s)

    assert spent_usd[:5].mean() * 60 > 0.4
    assert spent_usd[200:].mean() * 60 == pytest.approx(0.2, rel=0.05)


def test_the_multiplier_is_that_of_the_law_whenever_it_is_asked_for() -> None:
    """A pacer that nobody asks has fallen as one that was asked each minute; spending counts in its own tick."""
    often, seldom = (Pacer(1.0, 0.0, step=0.5, tick_s=60.0) for _ in range(2))
    for pacer in (often, seldom):
        pacer.spend(1.0, 30.0)
    asked = [often.mu(60.0 * tick) for tick in range(1, 6)]
    by_hand, mu = [], 1.0
    for spent_usd in (1.0, 0.0, 0.0, 0.0, 0.0):
        mu = next_multiplier(mu, spent_usd, 1.0 / 60.0, 0.5, 100.0)
        by_hand.append(mu)

    assert asked == pytest.approx(by_hand)
    assert by_hand[0] == 100.0
    assert seldom.mu(300.0) == pytest.approx(by_hand[-1])
    assert seldom.mu(1e6) == 1.0


@pytest.mark.parametrize("given", [{"usd_per_hour": 0.0}, {"tick_s": -1.0}, {"step": inf}, {"mu_max": 0.5}])
def test_a_pacer_that_cannot_be_is_refused(given: dict[str, float]) -> None:
    with pytest.raises(RouterError, match=next(iter(given))):
        Pacer(**({"usd_per_hour": 1.0, "now_s": 0.0} | given))  # type: ignore[arg-type]


BARE = """
import sys
for name in ("sklearn", "lightgbm", "onnx", "pandas", "scipy", "numba", "pydantic", "sim", "simpy", "yaml", "typer"):
    sys.modules[name] = None
import router.gateway as gateway
router = gateway.Router.load(sys.argv[1])
price = gateway.StrategyPrice(1e-7, 1e-6)
prices = router.prices({name: price for name in router.strategies})
asked = [gateway.Request(9, 0.01, text=text) for text in ("What is 2 + 2?", "W\\u00e4r es \\u4e2d \\U0001f600?")]
print(*(decision.strategy for decision in router.choose(asked, prices)))
print(router.choose(asked, prices).estimates.p.tolist())
"""


def test_it_works_in_a_bare_container(tmp_path: Path) -> None:
    """Without the packages of training and simulating, whatever the locale: the same chances to the last bit."""
    spec = FeatureSpec((), text=True, hashed=64).document()
    path = Made(features=spec).write(tmp_path / "router.onnx")
    said = set()
    for locale in ("C", "tr_TR.UTF-8", "C.UTF-8"):
        environment = {"LC_ALL": locale, "PATH": "/nowhere", "PYTHONUTF8": "0", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, "-W", "error", "-c", BARE, str(path)]
        done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        said.add(done.stdout)

    assert len(said) == 1
    assert set(said.pop().splitlines()[0].split()) <= {"direct", "think"}
