"""Who pays for a replica's time.

A replica's time is busy or idle. Busy time in which rows decode is shared equally by the rows: `row_usd` is
the running integral of price / rows, and a request is charged the difference between leaving and joining. What
a step takes longer because of the prompts in it goes to those prompts, by tokens.
"""

from __future__ import annotations

from sim.engine.jit import kernel
from sim.engine.state import IDLE, Records

__all__ = ["accrue", "charge_row", "charge_unfinished", "fold", "share_time"]


@kernel
def share_time(rep: Records, rows_s: float, prompts_s: float) -> None:
    """Say how the span that begins now is paid for: `rows_s` by the rows, `prompts_s` by the prompts."""
    total_s = rows_s + prompts_s
    rep.row_share = rows_s / (total_s * rep.rows) if rows_s > 0.0 else 0.0
    rep.prompt_share = prompts_s / total_s if prompts_s > 0.0 else 0.0


@kernel
def accrue(rep: Records, now_s: float) -> None:
    """Bring the replica's books up to `now_s`. Right at any time within a span, as its shares are constant."""
    elapsed_s = now_s - rep.accrued_s
    rep.accrued_s = now_s
    usd = elapsed_s * rep.usd_per_s
    if rep.mode == IDLE:
        if rep.paid:
            rep.recent_idle_s += elapsed_s
            rep.recent_idle_usd += usd
    else:
        rep.recent_busy_s += elapsed_s
        rep.recent_busy_usd += usd
        rep.row_usd += usd * rep.row_share
        rep.prompt_usd += usd * rep.prompt_share


@kernel
def fold(rep: Records) -> None:
    """Add what is recent to the sums.

    Summed in one go, a hundred million equal amounts drift by 1e-9, as each addition rounds the same way; summed by
    settlements they do not.
    """
    rep.busy_s += rep.recent_busy_s
    rep.idle_s += rep.recent_idle_s
    rep.busy_usd += rep.recent_busy_usd
    rep.idle_usd += rep.recent_idle_usd
    rep.recent_busy_s = 0.0
    rep.recent_idle_s = 0.0
    rep.recent_busy_usd = 0.0
    rep.recent_idle_usd = 0.0


@kernel
def charge_row(rep: Records, req: Records) -> None:
    """Charge a request that leaves the decode rows for its time in them."""
    req.cost_usd += rep.row_usd - req.joined_usd


@kernel
def charge_unfinished(rep: Records, req: Records) -> None:
    """Charge a request for its part, so far, in a span that has not ended."""
    if req.prefilled == req.target:
        charge_row(rep, req)
    elif req.chunk > 0:
        req.cost_usd += rep.prompt_usd * req.chunk / rep.prompt_tokens
