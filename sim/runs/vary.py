"""What the ways to write a key and its values have in common."""

from __future__ import annotations

from sim.errors import InputError

__all__ = ["key_and_values", "split_values"]


def key_and_values(text: str, remedy: str) -> tuple[str, str]:
    """The two sides of `KEY=VALUES`.

    >>> key_and_values("fleet.0.replicas = 1,2", "write KEY=1,2")
    ('fleet.0.replicas', '1,2')

    Raises:
        InputError: where there are no two sides.
    """
    key, equals, told = (part.strip() for part in text.partition("="))
    if not (key and equals and told):
        raise InputError(text, "is nothing to vary", remedy)
    return key, told


def split_values(text: str) -> list[str]:
    """Parts between commas that stand in no brackets and no quotes.

    >>> split_values("[idle], {a: 1, b: 2}, 'x, y'")
    ['[idle]', '{a: 1, b: 2}', "'x, y'"]
    """
    parts, depth, quote = [""], 0, ""
    for sign in text:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "\"'":
            quote = sign
        else:
            depth += (sign in "[{") - (sign in "]}")
        if sign == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts]
