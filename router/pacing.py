"""A budget kept by a price on money: the multiplier of costs rises while too much is spent, and falls else."""

from __future__ import annotations

from math import exp, isfinite

from router.errors import RouterError

__all__ = ["Pacer", "next_multiplier"]


def next_multiplier(mu: float, spent_usd: float, allowed_usd: float, step: float, most: float) -> float:
    """The multiplier after a tick in which so much was spent of so much allowed, between 1 and `most`.

    mu <- mu * exp(step * (spent / allowed - 1)): dual ascent with multiplicative steps on the constraint that spending
    stays within the allowance, as in budget pacing of auctions (Balseiro and Gur 2019, "Learning in repeated auctions
    with budgets") and with the steps of multiplicative weights (Arora, Hazan and Kale 2012). A multiplier of 1 is a
    budget that does not bind.

    >>> next_multiplier(2.0, 1.0, 1.0, 0.1, 100.0)
    2.0
    >>> next_multiplier(1.0, 0.0, 1.0, 0.1, 100.0)
    1.0
    """
    grown = step * (spent_usd / allowed_usd - 1.0)
    # The exponent of the largest useful step, so that a burst cannot overflow it.
    return min(max(mu * exp(min(grown, 700.0)), 1.0), most)


class Pacer:
    """Keeps a gateway's spending to a rate; times are the caller's clock in seconds, which never goes back."""

    def __init__(
        self, usd_per_hour: float, now_s: float, *, tick_s: float = 60.0, step: float = 0.1, mu_max: float = 100.0
    ) -> None:
        """Begin with a multiplier of 1 and nothing spent.

        Raises:
            RouterError: for rates, ticks or steps that are not above zero, and a `mu_max` below 1.
        """
        for name, value in (("usd_per_hour", usd_per_hour), ("tick_s", tick_s), ("step", step)):
            if not (value > 0.0 and isfinite(value)):
                raise RouterError(f"{name}={value}", "is not above zero", "raise it")
        if not (mu_max >= 1.0 and isfinite(mu_max)):
            raise RouterError(f"mu_max={mu_max}", "is below 1", "raise it")
        self._allowed_usd = usd_per_hour * tick_s / 3600.0
        self._tick_s, self._step, self._most = tick_s, step, mu_max
        self._tick_end_s = now_s + tick_s
        self._mu, self._spent_usd = 1.0, 0.0

    def spend(self, usd: float, now_s: float) -> None:
        """Note what was spent at a time.

        Raises:
            RouterError: for a sum that is negative or no number.
        """
        if not (usd >= 0.0 and isfinite(usd)):
            raise RouterError(usd, "is no sum that was spent", "give US dollars, at least 0")
        self._go_on(now_s)
        self._spent_usd += usd

    def mu(self, now_s: float) -> float:
        """The multiplier of costs at a time, for `Router.choose`."""
        self._go_on(now_s)
        return self._mu

    def _go_on(self, now_s: float) -> None:
        """Close the ticks that have ended; all after the first of them were without spending."""
        if now_s < self._tick_end_s:
            return
        self._close(self._spent_usd)
        quiet = max(int((now_s - self._tick_end_s) // self._tick_s) + 1, 0)
        self._mu = max(self._mu * exp(-self._step * quiet), 1.0)
        self._tick_end_s += quiet * self._tick_s

    def _close(self, spent_usd: float) -> None:
        self._mu = next_multiplier(self._mu, spent_usd, self._allowed_usd, self._step, self._most)
        self._spent_usd = 0.0
        self._tick_end_s += self._tick_s
