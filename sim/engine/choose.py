"""A request's strategy, chosen when it arrives: the rule of `router.choose` in compiled code, on what is known then.

`pick` is the rule alone; it sees a request's choices (CHOICE, one for each strategy), its stream's route (ROUTE) and
its prompt. `choose_strategy` fills the choices in: what is expected of the request from its row of options, or what the
bandit has learned, and what `loads` knows of prices and replicas.
"""

from __future__ import annotations

from math import exp, inf, log

from sim.engine.bandit import draw
from sim.engine.jit import inlined, kernel
from sim.engine.loads import look_at_loads
from sim.engine.state import BY_BANDIT, BY_DIFFICULTY, BY_GAIN, NONE, Records, State

__all__ = ["choose_strategy", "pick"]

LEAST_SD = 0.1
"""As in `router.choose`."""


@kernel
def pick(choices: Records, route: Records, prompt_tokens: int) -> int:
    """Index of the choice that the route's rule takes, one of those that are available; NONE if none is.

    Its `p_late` is filled in.
    """
    best = NONE
    if route.rule == BY_DIFFICULTY or route.rule == BY_GAIN:
        best = _switched(choices, route)
    if best == NONE:
        return _greatest(choices, route, prompt_tokens)
    choices[best].p_late = late_chance(choices[best], route, prompt_tokens)
    return best


@kernel
def _greatest(choices: Records, route: Records, prompt_tokens: int) -> int:
    """The choice of greatest utility, of equals the first.

    Lateness only takes from it, and to know it takes longest. So it is looked at where the rest may still be enough.
    """
    best = NONE
    for a in range(choices.size):
        option = choices[a]
        if option.available:
            option.bound_usd = route.value_usd * _known(option.p) - route.mu * cost_usd(option, prompt_tokens)
            if best == NONE or option.bound_usd > choices[best].bound_usd:
                best = a
    if best == NONE:
        return NONE
    first = best
    most_usd = _utility_usd(choices[best], route, prompt_tokens)
    for a in range(choices.size):
        option = choices[a]
        if option.available == 0 or a == first or option.bound_usd < most_usd:
            continue
        utility_usd = _utility_usd(option, route, prompt_tokens)
        if utility_usd > most_usd or (utility_usd == most_usd and a < best):
            best, most_usd = a, utility_usd
    return best


@inlined
def _utility_usd(option: Records, route: Records, prompt_tokens: int) -> float:
    option.p_late = late_chance(option, route, prompt_tokens)
    return option.bound_usd - route.lateness_usd * option.p_late


@inlined
def _known(p: float) -> float:
    """A chance; one that is not known is worth nothing."""
    return 0.0 if p != p else p


@kernel
def _switched(choices: Records, route: Records) -> int:
    """The strong strategy or the cheap one, or the other where that is not available; NONE if neither is."""
    cheap, strong = choices[route.cheap], choices[route.strong]
    is_strong = cheap.p < route.threshold if route.rule == BY_DIFFICULTY else strong.p - cheap.p > route.threshold
    wanted, other = (route.strong, route.cheap) if is_strong else (route.cheap, route.strong)
    if choices[wanted].available:
        return wanted
    return other if choices[other].available else NONE


@inlined
def cost_usd(option: Records, prompt_tokens: int) -> float:
    """What the answer is expected to cost."""
    return prompt_tokens * option.usd_per_prompt_token + option.tokens * option.usd_per_output_token


@inlined
def _e2e_s(option: Records, prompt_tokens: int) -> float:
    """When the answer is expected."""
    return option.wait_s + prompt_tokens * option.prompt_s_per_token + option.path_tokens * option.tpot_s


@inlined
def late_chance(option: Records, route: Records, prompt_tokens: int) -> float:
    """Chance that the answer comes after the objective: its time is taken as lognormal, as its tokens are."""
    if route.load == 0 or route.e2e_slo_s == inf:
        return 0.0
    e2e_s = _e2e_s(option, prompt_tokens)
    if e2e_s <= 0.0:
        return 0.0
    return _normal_cdf(log(e2e_s / route.e2e_slo_s) / max(option.sd, LEAST_SD))


@inlined
def _normal_cdf(x: float) -> float:
    """Phi, term by term as in `router.choose`."""
    size = min(abs(x), 40.0)
    t = 1.0 / (1.0 + 0.2316419 * size)
    series = t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
    tail = 0.3989422804014327 * exp(-0.5 * size * size) * series
    return tail if x < 0.0 else 1.0 - tail


@kernel
def choose_strategy(s: State, slot: int, row: int, c: int, prepared: int, now_s: float) -> int:
    """The strategy of a request that has just come, with its options in a row of the block's, or of closed stream c's.

    `prepared` is 1 if its context is; c is NONE for the block's.
    """
    req = s.requests[slot]
    route = s.routes[req.stream]
    if route.only != NONE:
        return route.only
    if c == NONE:
        _expect(s, row, min(prepared, s.option_p.shape[1] - 1))
    else:
        _expect_of_client(s, c, row)
    if route.rule == BY_BANDIT:
        draw(s, req.stream, prepared, s.calls[slot].key)
    look_at_loads(s, slot, now_s)
    a = pick(s.choices, route, req.prompt_tokens)
    option = s.choices[a]
    chosen = s.chosen[req.stream, a]
    chosen.count += 1
    chosen.p += _known(option.p)
    chosen.cost_usd += cost_usd(option, req.prompt_tokens)
    chosen.p_late += option.p_late
    if route.load:
        chosen.e2e_s += _e2e_s(option, req.prompt_tokens)
    return a


@inlined
def _expect(s: State, row: int, variant: int) -> None:
    for a in range(s.choices.size):
        option = s.choices[a]
        option.p = s.option_p[row, variant, a]
        option.tokens = s.option_tokens[row, variant, a]
        option.path_tokens = s.option_path_tokens[row, variant, a]
        option.sd = s.option_sd[row, variant, a]


@inlined
def _expect_of_client(s: State, c: int, row: int) -> None:
    for a in range(s.choices.size):
        option = s.choices[a]
        option.p = s.closed_option_p[c, row, a]
        option.tokens = s.closed_option_tokens[c, row, a]
        option.path_tokens = s.closed_option_path_tokens[c, row, a]
        option.sd = s.closed_option_sd[c, row, a]
