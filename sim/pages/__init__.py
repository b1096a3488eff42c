"""What our HTML pages share: a template to build on, colours, logarithmic axes, and figures that stay in their script.

A page is one file that loads nothing: plotly.js stands inside it, and a content security policy forbids the rest.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sim.pages.palette import DARK, LIGHT

__all__ = ["in_script", "render_page"]

_HERE = Path(__file__).parent


def render_page(template: Path, **values: Any) -> str:
    """The page of a template that extends `base.html`; what is put in is escaped, plotly.js is added."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from plotly.offline import get_plotlyjs

    folders = [template.parent, _HERE]
    environment = Environment(
        autoescape=True, loader=FileSystemLoader(folders), undefined=StrictUndefined, trim_blocks=True
    )
    shared = {"plotly": get_plotlyjs(), "light": LIGHT, "dark": DARK}
    return environment.get_template(template.name).render(**shared, **values)


def in_script(value: Any) -> str:
    """JSON that cannot end the script it stands in.

    >>> in_script(["</script>"])
    '["\\\\u003c/script>"]'
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":"), ensure_ascii=True)
    return text.replace("<", "\\u003c")
