"""The card of a measured folder: what was measured on what, and the figures, as a page of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

__all__ = ["card"]

_Document = Mapping[str, Any]

_READING = """\
`nightshift validate` on this folder fits step times to `steps.csv` alone, predicts the loops and compares;
`nightshift calibrate steps.csv --out FILE.json` keeps those step times for scenarios. Every CSV file has its provenance
beside it, each loop has it in its `meta.json`, Parquet files hold it in their metadata."""


def card(document: _Document) -> str:
    """The page of what `provenance.json` holds."""
    return "\n\n".join(part for part in _sections(document) if part) + "\n"


def _sections(document: _Document) -> Iterator[str]:
    setup, origin, parts = document["setup"], document["provenance"], document["parts"]
    yield f"# {setup['model']} on {setup['gpu']}, {setup['precision']}"
    yield _machine(origin, document)
    yield _READING
    for name, figures in _by_part(parts).items():
        yield _PARTS[name](figures)
    yield f"## Again\n\n```sh\n{origin['command']}\n```"


def _by_part(parts: _Document) -> dict[str, _Document]:
    """The figures of the parts that were measured, in their order; the grid's as the loops left them."""
    beside = parts.get("loops", {}).get("steps")
    told = {**parts, "steps": beside} if beside else parts
    return {name: told[name] for name in _PARTS if name in told}


def _machine(origin: _Document, document: _Document) -> str:
    hardware, limits = origin["hardware"], document["limits"]
    gpu = hardware["gpu"]
    told = f"{gpu['name']}, driver {gpu['driver']}; " if gpu else ""
    threads = "" if document["threads"] is None else f", {document['threads']} of them for the model"
    commit = "outside a checkout" if origin["commit"] is None else f"at {origin['commit'][:10]}"
    changed = ", with changes" if origin["changed"] else ""
    runtime = next(name for name in origin["versions"] if name.startswith("onnxruntime"))
    return (
        f"Measured {origin['date']} by our own engine on ONNX Runtime ({runtime} {origin['versions'][runtime]}, "
        f"{hardware['provider']} provider; code {commit}{changed}). Machine: {told}{hardware['cpu']}, "
        f"{hardware['cores']} cores{threads}. At most {limits['max_num_seqs']} rows of {limits['capacity']} tokens, "
        f"{limits['max_num_batched_tokens']} tokens in a step."
    )


def _steps(figures: _Document) -> str:
    reference = figures["reference"]
    return (
        f"## Steps\n\n`steps.csv`: means of {figures['rounds']} rounds over {figures['points']} points. "
        f"A reference step, measured {reference['steps']} times in between, took {_ms(reference['median_s'])}; "
        f"the middle 80 % of them spread over {reference['spread']:.1%} of that, and the last third took "
        f"{reference['last_to_first'] - 1:+.1%} against the first."
    )


def _loops(figures: _Document) -> str:
    opened = [_open_row(run) for run in figures["open"]]
    closed = [_closed_row(run) for run in figures["closed"]]
    times = ("TTFT", "TTFT p99", "TPOT", "TPOT p99", "E2E", "E2E p99")
    head = ("load", "requests", "a second", *times, "reference step before, after", "E2E of all runs")
    also = ("clients", "requests", "a second", "TTFT", "TPOT", "reference step before, after")
    return "\n\n".join(
        [
            "## Loops",
            f"At most {figures['saturation_per_s']:.3g} requests a second are finished with all rows taken. Open loops "
            "are Poisson arrivals at a share of that; latency counts from the arrival that was intended. Each was run "
            "several times, in turns with the grid of steps; told is the run of the median mean E2E.",
            _table(head, opened),
            _table(also, closed),
        ]
    )


def _open_row(run: _Document) -> list[str]:
    times = (run[quantity][which] for quantity in ("ttft_s", "tpot_s", "e2e_s") for which in ("mean", "p99"))
    reference = ", ".join(map(_ms, run["reference_s"]))
    counts = f"{run['load']:.0%}", f"{run['requests']:,}", f"{run['requests_per_s']:.3g}"
    return [*counts, *map(_ms, times), reference, ", ".join(map(_ms, run["all_mean_e2e_s"]))]


def _closed_row(run: _Document) -> list[str]:
    reference = ", ".join(_ms(run[f"reference_{when}_ms"] / 1e3) for when in ("before", "after"))
    counts = f"{run['concurrency']}", f"{run['requests']:,}", f"{run['requests_per_s']:.3g}"
    return [*counts, _ms(run["ttft_ms"] / 1e3), _ms(run["tpot_ms"] / 1e3), reference]


def _router(figures: _Document) -> str:
    rows = [
        [row["graph"], f"{row['batch']:,}", f"{row['median_us']:,.0f} us", f"{row['p99_us']:,.0f} us"]
        for row in figures["latency"]
    ]
    return "## Router\n\n" + _table(("graph", "requests", "median", "p99"), rows)


def _outcomes(figures: _Document) -> str:
    return (
        f"## Outcomes\n\n`outcomes.parquet`: {figures['questions']:,} held-out questions, {figures['rows']:,} rows; "
        f"{figures['written_tokens']:,} tokens were written in this run."
    )


def _end_to_end(figures: _Document) -> str:
    return (
        f"## End to end\n\nThe scenario `{figures['scenario']}`, a priced stream at {figures['load']:.0%} load, served "
        "for real and simulated: `end-to-end/comparison.md`."
    )


def _router_day(figures: _Document) -> str:
    return (
        f"## A router, asked for real\n\nThe scenario `{figures['scenario']}` at {figures['load']:.0%} load: a learned "
        "router chooses for each request by the price and the load of that moment. For a machine of this speed: "
        f"{', '.join(f'`{stake}`' for stake in figures['stakes'])}. Beside its simulation: "
        "`router-day/comparison.md`; each choice: `router-day/decisions.parquet`."
    )


_PARTS = {
    "steps": _steps,
    "loops": _loops,
    "router": _router,
    "outcomes": _outcomes,
    "end-to-end": _end_to_end,
    "router-day": _router_day,
}


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rule, *rows))


def _ms(seconds: float) -> str:
    """Seconds in milliseconds, three figures.

    >>> _ms(0.0012345), _ms(0.5)
    ('1.23 ms', '500 ms')
    """
    return f"{seconds * 1e3:.3g} ms" if seconds < 1.0 else f"{seconds:.3g} s"
