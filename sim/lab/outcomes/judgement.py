"""Tables and findings about outcomes, as JSON and as Markdown."""

from __future__ import annotations

from typing import Any, NamedTuple

from sim.lab.outcomes.estimates import Estimate

__all__ = ["Cell", "Finding", "Judged", "Section", "as_markdown"]

Cell = str | int | float | Estimate | None


class Section(NamedTuple):
    """One table."""

    title: str
    told: str
    header: tuple[str, ...]
    rows: list[tuple[Cell, ...]]


class Finding(NamedTuple):
    """A claim and whether the outcomes bear it out."""

    claim: str
    holds: bool
    figures: str


class Judged(NamedTuple):
    """All tables and findings."""

    questions: int
    contexts: int
    sections: list[Section]
    findings: list[Finding]

    def document(self) -> dict[str, Any]:
        """As JSON has it: an estimate is an object of value, low, high and n."""
        sections = [
            section._asdict() | {"rows": [[_plain(cell) for cell in row] for row in section.rows]}
            for section in self.sections
        ]
        findings = [finding._asdict() for finding in self.findings]
        return {"questions": self.questions, "contexts": self.contexts, "sections": sections, "findings": findings}


def as_markdown(found: Judged) -> str:
    """All tables and findings as Markdown."""
    parts = [f"{found.questions:,} questions on {found.contexts:,} contexts; intervals of 95 % in brackets."]
    for section in found.sections:
        numbers = [_is_number(cell) for cell in section.rows[0]]
        lines = ["| " + " | ".join(section.header) + " |"]
        lines.append("| " + " | ".join("---:" if number else "---" for number in numbers) + " |")
        lines += ["| " + " | ".join(map(_text, row)) + " |" for row in section.rows]
        parts += [f"### {section.title}", section.told, "\n".join(lines)]
    if found.findings:
        lines = ["| claim | | here |", "| --- | --- | --- |"]
        lines += [
            f"| {each.claim} | {'holds' if each.holds else 'does not hold'} | {each.figures} |"
            for each in found.findings
        ]
        parts += ["### What it shows", "\n".join(lines)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _is_number(cell: Cell) -> bool:
    return not isinstance(cell, str)


def _text(cell: Cell) -> str:
    if cell is None or (isinstance(cell, float) and cell != cell):
        return "-"
    if isinstance(cell, Estimate):
        return f"{100 * cell.value:.1f} % [{100 * cell.low:.1f}, {100 * cell.high:.1f}]"
    return f"{cell:,.2f}" if isinstance(cell, float) else str(cell)


def _plain(cell: Cell) -> Any:
    if isinstance(cell, Estimate):
        return cell._asdict()
    return None if isinstance(cell, float) and cell != cell else cell
