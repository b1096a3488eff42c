"""Getting ready: what a server takes and how it counts tokens, learned with a few requests before the replay."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sim.errors import InputError
from sim.lab.client.answer import Ended
from sim.lab.client.client import Client
from sim.lab.client.dialect import Dialect, Endpoint, Prompt, learn_dialect, sole_model
from sim.lab.replay.measured import Served
from sim.lab.replay.plan import Planned
from sim.lab.replay.prompts import GivenPrompt, Prompts, TokenRate

__all__ = ["Options", "Ready", "get_ready"]

_TRIAL_WORDS = (16, 144)
"""Words of the two prompts that show how a server counts tokens."""


@dataclass(frozen=True)
class Options:
    """How a scenario is replayed."""

    speed: float = 1.0
    """How many times faster than in the scenario requests are sent."""
    limit: int | None = None
    """Requests at most."""
    timeout_s: float | None = 60.0
    """Longest wait for a whole answer, from when its request was due; that of a stream's `client` may be shorter."""
    start_timeout_s: float = 300.0
    """Longest wait for the answers to the trial requests before the replay, for which a server may load its model."""
    endpoint: Endpoint = "auto"
    """The part of the interface that is asked; completions, and chat where a server has none, with `auto`."""
    exact: bool = True
    """Whether answers should have exactly the planned tokens, where the server takes that."""
    prompt_ids: tuple[int, int] | None = None
    """Lowest and highest token id of prompts that are sent as ids; they are sent as text where left out."""
    prompts: Path | None = None
    """File of prompts of the user's own."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Fields with the same value in every request, such as a temperature."""
    pool: str | None = None
    """The scenario's pool that the server stands for, by which the replay is priced; the only one where left out."""
    served: Served | None = None
    """What the server was started with; needed for a folder of measurements alone."""


@dataclass(frozen=True)
class Ready:
    """What is known of a server before the first request is sent."""

    dialect: Dialect
    prompts: Prompts
    rate: TokenRate | None
    """How it counts the tokens of words; None where it does not say, or prompts are sent as ids."""

    def write(self, request: Planned) -> bytes:
        """A request as it is sent."""
        given = self.prompts.given(request)
        tokens = (given and given.max_tokens) or max(request.output_tokens, 1)
        return json.dumps(self.dialect.body(self.prompts.of(request), tokens)).encode()


async def get_ready(
    client: Client, model: str | None, options: Options, seed: int, given: Mapping[tuple[str, int], GivenPrompt]
) -> Ready:
    """Ask the server a few things.

    Raises:
        InputError: where it answers nothing.
    """
    try:
        async with asyncio.timeout(options.start_timeout_s):
            return await _ready(client, model, options, seed, given)
    except TimeoutError:
        rule = f"gives no answer within {options.start_timeout_s:g} s"
        raise InputError(client.base, rule, "see that the server is up and has loaded its model") from None


async def _ready(
    client: Client, model: str | None, options: Options, seed: int, given: Mapping[tuple[str, int], GivenPrompt]
) -> Ready:
    trial = Prompts(seed, ids=options.prompt_ids)
    dialect = await learn_dialect(
        client,
        model or await sole_model(client),
        trial.trial(_TRIAL_WORDS[0], 0),
        endpoint="completions" if options.prompt_ids else options.endpoint,
        settings=options.settings,
        exact=options.exact,
    )
    rate = None if options.prompt_ids else await _token_rate(client, dialect, trial)
    return Ready(dialect, Prompts(seed, rate, ids=options.prompt_ids, given=given), rate)


async def _token_rate(client: Client, dialect: Dialect, trial: Prompts) -> TokenRate | None:
    """How the server counts the tokens of a prompt; None where it does not say."""
    try:
        few, many = [(n, await _tokens(client, dialect, trial.trial(n, n))) for n in _TRIAL_WORDS]
    except (Ended, TypeError, KeyError):
        return None
    return TokenRate.between(few, many)


async def _tokens(client: Client, dialect: Dialect, prompt: Prompt) -> int:
    answer = await client.ask(dialect.path, dialect.body(prompt, 1, stream=False))
    return int(answer["usage"]["prompt_tokens"])
