"""Small lists of English words whose presence tells something of a question; elsewhere they count nothing."""

from __future__ import annotations

__all__ = ["LEXICON"]

LEXICON = {
    "negations": "not except never no false incorrect least neither without nor cannot unlikely".split(),
    "asking": "which what who whom whose when where why how".split(),
    "supposing": "if suppose assume given let consider assuming".split(),
    "persons": "i he she his her him my me they their we our".split(),
    "comparing": "more less fewer than twice half double triple most greater larger smaller higher lower times".split(),
    "rates": "each every per total altogether average percent remaining left rest".split(),
    "reasons": "because since therefore thus hence due".split(),
    "verdicts": "true false wrong both neither all none".split(),
    "spoken_numbers": "one two three four five six seven eight nine ten dozen hundred thousand million".split(),
}
"""Words of each list, by its name."""
