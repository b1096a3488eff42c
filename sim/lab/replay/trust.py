"""How far the figures of a replay can be trusted: what the client did itself, and what speaks against it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sim.lab.client.client import Target
from sim.lab.replay.dispatch import Sender
from sim.lab.replay.plan import Plan
from sim.lab.replay.ready import Options, Ready
from sim.stats import ratio
from sim.workload.blocks import Floats

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["client_section", "doubts"]

_LATE_S = 0.01
_BUSY_SHARE = 0.8
_PROMPTS_OFF = 0.02
_ANSWERS_OFF = 0.01
_PIECES_OFF = 0.05


def client_section(
    target: Target, options: Options, plan: Plan, ready: Ready, sender: Sender, rows: pd.DataFrame
) -> dict[str, Any]:
    """The `client` section of a summary: what was asked and how, how late, how busy, and how tokens were counted."""
    wall_s = sender.end_s - sender.begin_s
    return {
        "url": target.base,
        "model": ready.dialect.model,
        "endpoint": ready.dialect.path,
        "takes": list(ready.dialect.extras),
        "speed": options.speed,
        "timeout_s": options.timeout_s,
        "planned": len(plan),
        "sent": len(rows),
        "interrupted": sender.interrupted,
        "dispatch_delay_s": _delays(rows["dispatch_delay_s"].to_numpy(float)),
        "loop_delay_s": _delays(np.array(sender.loop_delays_s)),
        "cpu_share": ratio(sender.cpu_s, wall_s),
        "most_outstanding": sender.most_outstanding,
        "tokens": _tokens(rows, ready, options),
    }


def _tokens(rows: pd.DataFrame, ready: Ready, options: Options) -> dict[str, Any]:
    """How tokens were counted; how far they are from the plan, as shares of it."""
    done = rows[rows["status"] == "completed"]
    counted = done[~done["tokens_are_counted"]]
    rate = ready.rate
    return {
        "prompts": "ids" if options.prompt_ids else "words",
        "per_word": rate and rate.per_word,
        "added_to_prompt": rate and rate.added,
        "prompt_off": _off(counted["prompt_tokens"], counted["planned_prompt_tokens"]),
        "output_off": _off(done["output_tokens"], done["planned_output_tokens"]),
        "answers_counted_by_pieces": int(done["tokens_are_counted"].sum()),
        "per_piece": ratio(float(done["output_tokens"].sum()), float(done["pieces"].sum())),
    }


def _off(counted: pd.Series[int], meant: pd.Series[int]) -> dict[str, float | None]:
    """Mean, mean absolute and greatest absolute difference between counts and plan, as shares of the plan."""
    if not len(counted):
        return {"mean": None, "mean_abs": None, "max_abs": None}
    off = (counted.to_numpy(float) - meant.to_numpy(float)) / np.maximum(meant.to_numpy(float), 1.0)
    return {"mean": float(off.mean()), "mean_abs": float(np.abs(off).mean()), "max_abs": float(np.abs(off).max())}


def _delays(values: Floats) -> dict[str, float | None]:
    if not values.size:
        return {"mean": None, "p50": None, "p99": None, "max": None}
    p50, p99 = np.quantile(values, [0.5, 0.99]).tolist()
    return {"mean": float(values.mean()), "p50": p50, "p99": p99, "max": float(values.max())}


def doubts(client: Mapping[str, Any], errors: Mapping[str, int]) -> list[str]:
    """What speaks against the figures, in sentences; of the `client` and `errors` sections of a summary."""
    return [*_of_the_end(client), *_of_the_client(client, errors), *_of_the_tokens(client["tokens"])]


def _of_the_end(client: Mapping[str, Any]) -> Iterator[str]:
    if client["interrupted"]:
        yield f"interrupted: {client['sent']:,} of {client['planned']:,} requests were sent"


def _of_the_client(client: Mapping[str, Any], errors: Mapping[str, int]) -> Iterator[str]:
    late_s, behind_s, busy = client["dispatch_delay_s"]["p99"], client["loop_delay_s"]["p99"], client["cpu_share"]
    if late_s is not None and late_s > _LATE_S:
        yield f"one request in a hundred was sent {late_s * 1e3:.0f} ms late or later; latencies count that in"
    if behind_s is not None and behind_s > _LATE_S:
        yield f"the client read answers up to {behind_s * 1e3:.0f} ms late (p99): so uncertain are the times of tokens"
    if busy is not None and busy > _BUSY_SHARE:
        yield f"the client itself used {busy:.0%} of a core and may be the bottleneck: send less, or from several"
    if errors.get("client_limit"):
        yield "this machine may open no more connections: raise its limit of open files (ulimit -n)"


def _of_the_tokens(tokens: Mapping[str, Any]) -> Iterator[str]:
    prompt, output, per_piece = tokens["prompt_off"]["mean_abs"], tokens["output_off"]["mean_abs"], tokens["per_piece"]
    if tokens["prompts"] == "words" and tokens["per_word"] is None:
        yield "the server does not tell the tokens of a prompt: one a word is assumed"
    if prompt is not None and prompt > _PROMPTS_OFF:
        yield f"prompts differ from the plan by {prompt:.1%} of their tokens on average"
    if output is not None and output > _ANSWERS_OFF:
        yield f"answers differ from the plan by {output:.1%} of their tokens on average"
    if tokens["answers_counted_by_pieces"]:
        yield f"tokens of {tokens['answers_counted_by_pieces']:,} answers are not the server's count but their pieces"
    if per_piece is not None and abs(per_piece - 1.0) > _PIECES_OFF:
        yield f"answers came in pieces of {per_piece:.2f} tokens on average; times between tokens are between pieces"
