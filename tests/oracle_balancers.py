"""Which of the places that are open to a request takes it, said plainly."""

from __future__ import annotations


class RoundRobin:
    """The next open place in turn."""

    def __init__(self) -> None:
        self.turn = 0

    def __call__(self, load: list[int], open_: list[int], luck: float, found: list[int]) -> int:
        """Which of the places `open_`, never none, takes the request; `load` and the tokens `found` are by place."""
        return self.take(next(at for at in self.in_turn(len(load)) if at in open_))

    def in_turn(self, places: int) -> list[int]:
        return [(self.turn + i) % places for i in range(places)]

    def take(self, at: int) -> int:
        self.turn = at + 1
        return at


class LeastOutstanding(RoundRobin):
    """The open place with fewest requests; of equals the next in turn."""

    def __call__(self, load: list[int], open_: list[int], luck: float, found: list[int]) -> int:
        return self.take(min((at for at in self.in_turn(len(load)) if at in open_), key=lambda at: load[at]))


class PowerOfTwo(RoundRobin):
    """The less loaded of two different open places, drawn by the request's luck."""

    def __call__(self, load: list[int], open_: list[int], luck: float, found: list[int]) -> int:
        first = int(luck * len(open_))
        rest = open_[:first] + open_[first + 1 :]
        if not rest:
            return open_[0]
        second = int((luck * len(open_) - first) * len(rest))
        return min(open_[first], rest[second], key=lambda at: load[at])


class PrefixAffinity(LeastOutstanding):
    """The open place that finds most of the request's context, unless that has much more to do than another."""

    def __init__(self, slack: int) -> None:
        super().__init__()
        self.slack = slack

    def __call__(self, load: list[int], open_: list[int], luck: float, found: list[int]) -> int:
        best = min(open_, key=lambda at: (-found[at], load[at], at))
        least = min(load[at] for at in open_)
        if found[best] and load[best] <= least + self.slack:
            return best
        return super().__call__(load, open_, luck, found)
