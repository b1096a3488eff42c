"""The code of the gateway guide runs: it decides as it says, and fronts a server of OpenAI's interface."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from router.drift.judgement import Rules
from router.drift.population import MAJOR
from router.features import FeatureSpec
from router.gateway import Router
from tests.fake_openai import Fake, served
from tests.made_router import Made

GUIDE = (Path(__file__).parents[1] / "docs" / "gateway.md").read_text(encoding="utf-8")
SNIPPET, PROXY = re.findall(r"^```python\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def router_file(tmp_path: Path) -> Path:
    spec = FeatureSpec((), text=True, hashed=32)
    return Made(features=spec.document()).write(tmp_path / "router.onnx")


def test_the_snippet_prints_a_decision(
    router_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(router_file.parent)
    exec(compile(SNIPPET, "docs/gateway.md", "exec"), {})

    assert re.fullmatch(r"(direct|think) 0\.\d+ \S+e-\d+ (direct|think): .* lateness\n", capsys.readouterr().out)


def asked(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "any", "messages": [{"role": "user", "content": text}], "max_tokens": 3, "stream": True, **more}


async def answers(gateway: Any, bodies: list[dict[str, Any]]) -> list[httpx.Response]:
    transport = httpx.ASGITransport(app=gateway.app())
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        return [await client.post("/v1/chat/completions", json=body) for body in bodies]


def test_the_gateway_sends_each_request_where_the_router_says(router_file: Path) -> None:
    names: dict[str, Any] = {"__name__": "gateway"}
    exec(compile(PROXY, "docs/gateway.md", "exec"), names)
    with served(Fake()) as server:
        gateway = names["Gateway"](Router.load(router_file), server.url, usd_per_hour=1.0, value_usd=0.02)
        before_s = dict(gateway.tpot_s)
        plain, hurried, wrong = asyncio.run(
            answers(gateway, [asked("12 of 34?"), asked("12 of 34?", e2e_slo_s=2.0), asked("?", e2e_slo_s=-1)])
        )

    sent = {"direct": "small-model", "think": "large-model"}
    assert [body["model"] for body in server.asked] == [
        sent[answer.headers["x-strategy"]] for answer in (plain, hurried)
    ]
    assert (plain.headers["x-strategy"], hurried.headers["x-strategy"]) == ("think", "direct")
    assert "think: " in plain.headers["x-why"]
    assert plain.text.count("wörd") == 3
    assert plain.text.endswith("data: [DONE]\n\n")
    assert gateway.tpot_s["think"] < before_s["think"]
    assert gateway.pacer._spent_usd == pytest.approx(3 * 4e-6 + 6 * 1e-6 + 3 * 0.4e-6 + 6 * 0.1e-6)
    assert (wrong.status_code, "is not above zero" in wrong.text) == (400, True)


def test_the_gateway_is_short() -> None:
    assert len([line for line in PROXY.splitlines() if line.strip()]) < 80


def test_the_guide_has_the_numbers_of_the_code() -> None:
    rules = Rules()

    assert f"conventional {MAJOR}" in GUIDE
    assert f"more than {100 * rules.tolerance:.0f} points" in GUIDE
    assert f"{rules.least_outcomes} outcomes are known since" in GUIDE
    assert (rules.patience, rules.false_alarms) == (2, 0.001)
