"""Small lists of English words whose presence tells something of a question; in other languages they count nothing."""

from __future__ import annotations

__all__ = ["LEXICON"]

_LISTS = """
negations: not except never no false incorrect least neither without nor cannot unlikely
asking: which what who whom whose when where why how
supposing: if suppose assume given let consider assuming
persons: i he she his her him my me they their we our
comparing: more less fewer than twice half double triple most greater larger smaller higher lower times
rates: each every per total altogether average percent remaining left rest
reasons: because since therefore thus hence due
verdicts: true false wrong both neither all none
spoken_numbers: one two three four five six seven eight nine ten dozen hundred thousand million
"""

LEXICON = {
    name: tuple(words.split()) for name, _, words in (line.partition(":") for line in _LISTS.split("\n") if line)
}
"""Words of each list, by its name."""
