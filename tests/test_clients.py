"""Clients: rates and burstiness window by window, lengths of their own, and strictly read tables."""

from __future__ import annotations

import gzip
import math
import tracemalloc
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sim.errors import InputError, TraceError
from sim.load import load_scenario
from sim.scenario import ClientArrivals, ConstantLengths, Stream
from sim.streams import RandomStreams
from sim.workload.client_lengths import client_lengths
from sim.workload.client_table import read_rates
from sim.workload.clients import Clients
from sim.workload.crowd import ClientRequests
from sim.workload.gaps import carry, draw_gaps, gap_laws
from sim.workload.quantile_laws import quantile_laws
from sim.workload.workload import build_workload
from tests.small import pool, scenario

TABLES = Path(__file__).parent / "data" / "clients"
RATES, TOKENS = TABLES / "rates.csv", TABLES / "tokens.csv"
WINDOW, HOUR, DAY = 600.0, 3600.0, 86_400.0
SAME = {"kind": "constant", "prompt_tokens": 100, "output_tokens": 20}
HEADER = "client,t_s,rate_rps,cv_interarrival,dist\n"


def stream(lengths: Any = SAME, *, shape: dict[str, Any] | None = None, **arrivals: Any) -> Stream:
    fields = {"name": "crowd", "arrivals": {"kind": "clients", **arrivals}, "lengths": lengths, **(shape or {})}
    return Stream.model_validate(fields)


def requests(of: Stream, horizon_s: float, *, seed: int = 1, rows: int = 65_536, **clock: Any) -> ClientRequests:
    assert isinstance(of.arrivals, ClientArrivals)
    clock = {"start": datetime(2026, 1, 5), "time_zone": "UTC"} | clock
    blocks = list(Clients.of(of, of.arrivals).requests(RandomStreams(seed, 0), horizon_s, rows=rows, **clock))
    nothing = ClientRequests(np.empty(0), np.empty(0, np.int64), np.empty(0, np.int64))
    return ClientRequests._make(map(np.concatenate, zip(nothing, *blocks, strict=True)))


def counts(of: Stream, windows: int, seeds: int, width_s: float = WINDOW) -> np.ndarray:
    """Requests in each window of each of many runs, [seeds, windows]."""
    edges = np.arange(windows + 1) * width_s
    return np.array([np.histogram(requests(of, edges[-1], seed=seed).arrival_s, edges)[0] for seed in range(seeds)])


def one(cv: float, distribution: str = "gamma", rps: float = 5.0, **rest: Any) -> dict[str, Any]:
    return {"name": "one", "rps": rps, "cv": cv, "distribution": distribution, **rest}


# Laws of gaps


@pytest.mark.parametrize("cv", [0.01, 0.3, 1.0, 3.0, 20.0, 1000.0])
@pytest.mark.parametrize("weibull", [False, True])
def test_the_shape_gives_the_variation(cv: float, weibull: bool) -> None:
    shape = float(gap_laws(np.array([cv]), np.array([weibull])).shape[0])
    log_moments = math.lgamma(1 + 2 / shape) - 2 * math.lgamma(1 + 1 / shape)

    assert math.sqrt(math.expm1(log_moments) if weibull else 1 / shape) == pytest.approx(cv, rel=1e-5)


@pytest.mark.parametrize("weibull", [False, True])
def test_gaps_have_their_mean_and_law(weibull: bool) -> None:
    from scipy.stats import gamma, kstest, weibull_min

    laws = gap_laws(np.array([2.0]), np.array([weibull]))
    shape = float(laws.shape[0])
    gaps = draw_gaps(RandomStreams(1, 0).generator("gaps"), weibull, shape, 100_000)
    law = weibull_min(shape, scale=1 / math.gamma(1 + 1 / shape)) if weibull else gamma(shape, scale=1 / shape)

    assert gaps.mean() == pytest.approx(1.0, abs=4 * 2 / math.sqrt(gaps.size))
    assert kstest(gaps, law.cdf).pvalue > 0.001


@settings(deadline=None)
@given(st.floats(0.01, 100), st.floats(0.01, 100), st.booleans(), st.booleans(), st.floats(0.001, 0.999))
def test_a_carried_gap_keeps_its_rank_and_comes_back(
    cv: float, other_cv: float, weibull: bool, other: bool, rank: float
) -> None:
    start = gap_laws(np.array([1.0]), np.array([False]))
    one, two = (gap_laws(np.array([value]), np.array([kind])) for value, kind in ((cv, weibull), (other_cv, other)))
    gap = carry(np.array([-2 * math.log(rank)]), start, one)

    assert carry(gap, one, one) == gap
    assert carry(carry(gap, one, two), two, one) == pytest.approx(gap, rel=1e-5)


@pytest.mark.parametrize("cv", [1e-9, 1e-3, 2000.0])
@pytest.mark.parametrize("weibull", [False, True])
@pytest.mark.parametrize("gap", [0.0, 1e-12, 40.0, 800.0])
def test_the_most_even_and_the_wildest_laws_carry_any_gap(cv: float, weibull: bool, gap: float) -> None:
    start, law = (gap_laws(np.array([value]), np.array([kind])) for value, kind in ((1.0, False), (cv, weibull)))
    there = carry(np.array([gap]), start, law)

    assert np.isfinite(there).all()
    assert np.isfinite(carry(there, law, start)).all()


# Rates and variation


def test_every_window_has_its_rate_and_empty_ones_have_none() -> None:
    found = counts(stream(path=RATES, repeat=False), windows=6, seeds=300)
    expected = WINDOW * np.array([2.5, 4.0, 1.01, 5.0, 4.0, 0.0])
    error = found.std(axis=0) / math.sqrt(found.shape[0])

    assert found.mean(axis=0) == pytest.approx(expected, abs=4 * error.max())
    assert np.all(abs(found.mean(axis=0) - expected) <= 4 * error)


def test_laws_that_change_at_every_edge_keep_each_windows_rate(tmp_path: Path) -> None:
    """A wait of variation 20 that went on unchanged would eat the requests of the even windows after it."""
    laws = [(20.0, "Weibull"), (0.3, "Gamma"), (8.0, "Gamma"), (0.5, "Weibull")] * 3
    file = tmp_path / "rates.csv"
    file.write_text(HEADER + "".join(f"a,{600 * row},0.2,{cv},{law}\n" for row, (cv, law) in enumerate(laws)))
    found = counts(stream(path=file), windows=12, seeds=400)
    error = found.std(axis=0) / math.sqrt(found.shape[0])

    assert np.all(abs(found.mean(axis=0) - 120) <= 4 * error)


@pytest.mark.parametrize("distribution", ["gamma", "weibull"])
@pytest.mark.parametrize("cv", [0.3, 1.0, 3.0])
def test_window_edges_do_not_restart_a_client(cv: float, distribution: str) -> None:
    """With an edge every two requests, gaps are still those of one long process."""
    arrival_s = requests(stream(clients=[one(cv, distribution)], window=0.4), 2 * HOUR).arrival_s
    gaps = np.diff(arrival_s)

    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.03 * max(cv, 1))
    assert arrival_s.size == pytest.approx(5 * 2 * HOUR, abs=4 * cv * math.sqrt(5 * 2 * HOUR))
    assert np.corrcoef(gaps[1:], gaps[:-1])[0, 1] == pytest.approx(0, abs=0.02)


def test_a_silence_lasts_through_windows_without_requests(tmp_path: Path) -> None:
    """Expected requests, not seconds, are what a wait is counted in."""
    file, gap = tmp_path / "rates.csv", tmp_path / "gap.csv"
    file.write_text(HEADER + "a,0,1,3,Gamma\na,600,1,3,Gamma\n")
    gap.write_text(HEADER + "a,0,1,3,Gamma\na,1800,1,3,Gamma\n")
    steady, paused = (requests(stream(path=path, repeat=False), HOUR).arrival_s for path in (file, gap))

    assert paused == pytest.approx(np.where(steady < WINDOW, steady, steady + 1200))


def test_scale_multiplies_all_rates() -> None:
    single, threefold = (counts(stream(path=RATES, scale=scale), 5, 100).mean() for scale in (1.0, 3.0))

    assert threefold / single == pytest.approx(3, rel=0.05)


def test_the_table_begins_where_it_is_told_and_starts_again() -> None:
    found = counts(stream(path=RATES, begin="20m"), windows=5, seeds=200).mean(axis=0)

    assert found == pytest.approx(WINDOW * np.array([1.01, 5.0, 4.0, 2.5, 4.0]), rel=0.12)


def test_a_table_that_does_not_repeat_ends() -> None:
    arrival_s = requests(stream(path=RATES, begin="20m", repeat=False), 2 * HOUR).arrival_s

    assert 29 * 60 < arrival_s.max() < 30 * 60


def test_clients_take_the_shape_of_their_stream() -> None:
    days = [{"date": "2026-03-08", "factor": 4.0, "hours": "01:00-03:00"}]
    of = stream(clients=[one(1.0)], shape={"special_days": days, "growth": {"per_month": 0.2}})
    found = requests(of, 4 * HOUR, start=datetime(2026, 3, 8), time_zone="America/New_York").arrival_s

    assert np.histogram(found, np.arange(5) * HOUR)[0] / (5 * HOUR) == pytest.approx([1, 4, 1, 1], rel=0.04)
    assert np.all(np.diff(found) >= 0)


# What must not change the requests


def of_client(found: ClientRequests, prompt_tokens: int) -> list[float]:
    return found.arrival_s[found.prompt_tokens == prompt_tokens].tolist()


def crowd(*prompts: int) -> Stream:
    """Clients who can be told apart by their lengths."""
    return stream(
        None,
        clients=[
            one(
                2.0,
                "weibull" if prompt % 2 else "gamma",
                rps=prompt / 10,
                lengths={"kind": "constant", "prompt_tokens": prompt, "output_tokens": 1},
            )
            | {"name": f"client {prompt}"}
            for prompt in prompts
        ],
    )


def test_other_clients_change_nothing() -> None:
    alone, joined, more = (requests(crowd(*prompts), HOUR) for prompts in ((7,), (30, 7), (7, 9, 400)))

    assert of_client(alone, 7) == of_client(joined, 7) == of_client(more, 7)
    assert len(alone.arrival_s) > 1000


@pytest.mark.parametrize("changes", [{"path": RATES, "tokens": TOKENS}, {"clients": [one(4.0)]}])
@pytest.mark.parametrize("rows", [1, 50, 1000])
def test_block_size_does_not_change_requests(changes: dict[str, Any], rows: int) -> None:
    of = stream(shape={"growth": {"per_month": 0.5}}, **changes)
    whole, parts = requests(of, HOUR / 3), requests(of, HOUR / 3, rows=rows)

    assert [column.tobytes() for column in parts] == [column.tobytes() for column in whole]


def test_the_same_seed_gives_the_same_bytes_and_another_does_not() -> None:
    of = stream(path=RATES, tokens=TOKENS)
    first, again, other = (requests(of, HOUR, seed=seed) for seed in (1, 1, 2))

    assert [column.tobytes() for column in first] == [column.tobytes() for column in again]
    assert first.arrival_s[:10].tolist() != other.arrival_s[:10].tolist()


def test_the_horizon_cuts_exactly() -> None:
    for shape in ({}, {"growth": {"per_month": 0.5}}):
        of = stream(path=RATES, shape=shape)
        long = requests(of, HOUR).arrival_s
        assert requests(of, float(long[1234])).arrival_s.tolist() == long[:1234].tolist()


def test_the_busiest_are_those_with_most_requests_and_ask_the_same() -> None:
    everyone, busy = (set(requests(stream(path=RATES, busiest=n), HOUR).arrival_s.tolist()) for n in (None, 1))
    rates = read_rates(ClientArrivals(path=RATES))

    assert rates.names == ["batch", "chat", "rare"]
    assert rates.busiest(1).names == ["chat"]
    assert busy < everyone


def test_memory_does_not_grow_with_the_horizon() -> None:
    of, peaks = stream(path=RATES, tokens=TOKENS, scale=30), []
    clients = Clients.of(of, of.arrivals)
    for horizon_s in (2 * HOUR, 8 * HOUR):
        tracemalloc.start()
        blocks = clients.requests(RandomStreams(1, 0), horizon_s, start=datetime(2026, 1, 5), time_zone="UTC")
        assert sum(block.arrival_s.size for block in blocks) > 20 * horizon_s
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0]


# Lengths


@settings(max_examples=60, deadline=None)
@given(st.floats(1, 5000), st.floats(1, 20), st.floats(1, 30), st.floats(0.02, 0.98), st.floats(1, 8))
def test_lengths_keep_their_quantiles_and_mean(p50: float, to90: float, to99: float, low: float, top: float) -> None:
    """Of any mean that such quantiles can have, with at least one token and a longest of up to 8 times p99."""
    p90, p99 = p50 * to90, p50 * to90 * to99
    least = 0.5 + 0.4 * p50 + 0.09 * p90 + 0.01 * p99
    most = 0.5 * p50 + 0.4 * p90 + 0.09 * p99 + 0.01 * p99 * top
    mean = least + low * (most - least)
    laws = quantile_laws(*(np.array([value]) for value in (mean, p50, p90, p99)))
    probability = (np.arange(100_000) + 0.5) / 100_000
    tokens = laws.tokens(np.zeros(probability.size, np.int64), probability)
    below, above = (tokens[[round(100_000 * p) + aside for p in (0.5, 0.9, 0.99)]] for aside in (-100, 100))

    assert tokens.mean() == pytest.approx(mean, rel=2e-3, abs=0.5)
    assert np.all(below - 0.51 <= [p50, p90, p99])
    assert np.all(above + 0.51 >= [p50, p90, p99])


def test_lengths_follow_client_and_time() -> None:
    """The chat's first row holds until minute 30; the batch has one row only, which holds before it too."""
    of = stream(path=RATES, tokens=TOKENS, scale=200)
    early, late = (
        requests(of.model_copy(update={"arrivals": of.arrivals.model_copy(update={"begin": begin})}), WINDOW)
        for begin in (600.0, 2400.0)
    )

    assert early.prompt_tokens.mean() == pytest.approx(427.5, rel=0.01)
    assert late.prompt_tokens.mean() == pytest.approx((3 * 307 + 9000) / 4, rel=0.02)
    assert late.output_tokens.mean() == pytest.approx((3 * 104 + 30) / 4, rel=0.02)


def orphans(shared: Any) -> tuple[np.ndarray, np.ndarray]:
    """Lengths of a client that the tokens do not know."""
    of = stream(shared, path=RATES, tokens=TOKENS)
    assert isinstance(of.arrivals, ClientArrivals)
    every = read_rates(of.arrivals)
    lengths = client_lengths(of.arrivals, of.lengths, every, every)
    uniform = np.random.default_rng(1).random((200_000, 3))
    return lengths.tokens(np.full(200_000, every.names.index("rare")), uniform, 0.0)


def test_a_client_without_lengths_has_those_of_the_stream() -> None:
    prompts, outputs = orphans(SAME)
    assert (set(prompts.tolist()), set(outputs.tolist())) == ({100}, {20})

    lognormal = {"prompt_median": 900, "prompt_sigma": 1.0, "output_median": 150, "output_sigma": 0.8}
    prompts, outputs = orphans({"kind": "lognormal", **lognormal, "output_max": 400})
    assert [np.median(prompts), np.log(prompts).std()] == pytest.approx([900, 1.0], rel=0.01)
    assert [np.median(outputs), outputs.max()] == pytest.approx([150, 400], rel=0.01)

    prompts, outputs = orphans({"kind": "quantiles", "prompt_tokens": [10, 20], "output_tokens": [1, 3, 11]})
    assert [prompts.mean(), outputs.mean()] == pytest.approx([15, 4.5], rel=0.02)


def test_without_any_it_has_those_of_the_others_by_their_requests() -> None:
    """Expected requests: the chat's rows 7 * 600 and 3 * 600, the batch's one 6.5 * 600."""
    prompts, outputs = orphans(None)

    assert prompts.mean() == pytest.approx((7 * 427.5 + 3 * 307 + 6.5 * 9000) / 16.5, rel=0.02)
    assert np.corrcoef(prompts > 2000, outputs < 20)[0, 1] > 0.15


# Tables


def faults(tmp_path: Path, text: str | bytes, **changes: Any) -> list[str]:
    """What is wrong with a table of rates, without its place."""
    file = tmp_path / "rates.csv"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(InputError) as caught:
        read_rates(ClientArrivals(path=file, **changes))
    return [line.replace(f"{file}:", "") for line in str(caught.value).splitlines()]


def test_all_faults_of_a_table_are_told_with_line_rule_and_remedy(tmp_path: Path) -> None:
    rows = [
        "a,0,2.0,1.0,Gamma",
        "a,700,2.0,1.0,Gamma",
        "b,0,-1,1.0,gamma",
        "b,600,fast,1.0,Weibull",
        "c,0,1,0,Weibull",
        "c,600,1,1,Poisson",
        ",0,1,1,Gamma",
        "a,0,3,1,Gamma",
        "d,0,1,1",
        "d,600,1,inf,Gamma",
    ]
    assert faults(tmp_path, HEADER + "\n".join(rows)) == [
        "3  t_s: 700 is no multiple of the window (10m); correct it, or set `window` to the table's",
        "4  rate_rps: -1 must be from 0 to 1e9; correct the row",
        "5  rate_rps: fast is not a number; correct the row",
        "6  cv_interarrival: 0 must be above 0, 2000 at most; correct the row",
        "7  dist: Poisson is not a known law of gaps; give Gamma or Weibull",
        "8  client: an empty text is missing; correct the row",
        "9  t_s: 0 comes twice for this client; leave one row out",
        "10  a row of 4 fields must have 5; correct the row",
        "11  cv_interarrival: inf is not a finite number; correct the row",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "must be named once in the first line, which has: nothing"),
        (HEADER, "holds no rows"),
        (HEADER.replace("rate_rps", "rps") + "a,0,1,1,Gamma", "rate_rps: must be named once in the first line"),
        (HEADER + "a,0,0,1,Gamma", "holds no request; give rates above zero"),
        (b"\x1f\x8b\x08\x00broken", "gzip file"),
        (HEADER + "a,6e12,1,1,Gamma", "is more than 10000000 windows"),
        (HEADER + "a,1_0,1,1,Gamma", "1_0 is not a number"),
    ],
)
def test_a_table_that_holds_nothing_usable_is_refused(tmp_path: Path, text: str | bytes, told: str) -> None:
    assert told in "\n".join(faults(tmp_path, text))


def test_many_faults_are_cut_short(tmp_path: Path) -> None:
    found = faults(tmp_path, HEADER + "".join(f"a,{600 * row},-1,1,Gamma\n" for row in range(50)))

    assert (len(found), found[-1]) == (11, "and 40 more")


def test_a_begin_beyond_the_table_is_refused() -> None:
    with pytest.raises(InputError, match=r"begin: 2h lies at or after the end of rates.csv \(50m\); lower it"):
        read_rates(ClientArrivals(path=RATES, begin="2h"))


def test_tables_may_be_gzip_and_have_other_columns_in_any_order(tmp_path: Path) -> None:
    file = tmp_path / "rates.csv.gz"
    file.write_bytes(gzip.compress(b'dist,note,rate_rps,t_s,cv_interarrival,client\nGAMMA,"x, y",1,600,2,a\n\n'))
    rates = read_rates(ClientArrivals(path=file))

    assert (rates.names, rates.windows, rates.rate_rps.tolist(), rates.laws.shape.tolist()) == (["a"], 2, [1.0], [0.25])


def token_faults(tmp_path: Path, *rows: str, shared: Any = None) -> str:
    file = tmp_path / "tokens.csv"
    file.write_text("\n".join([TOKENS.read_text().splitlines()[0], *rows]))
    of = stream(shared, path=RATES, tokens=file)
    with pytest.raises(TraceError) as caught:
        Clients.of(of, of.arrivals)
    return str(caught.value).replace(f"{file}:", "")


def test_all_faults_of_the_tokens_are_told(tmp_path: Path) -> None:
    rows = (
        "chat,0,10,5,20,30,10,5,20,30",
        "chat,0,10,5,20,30,10,5,20,30",
        "chat,600,0,5,20,10,10,-1,20,3e9",
        "chat,-600,10,50,20,30,10,5,20,x",
    )
    assert token_faults(tmp_path, *rows).splitlines() == [
        "3  window_start_s: 0 comes twice for this client; leave one out",
        "4  in_mean: 0 must be above 0; correct the row",
        "4  in_p99: 10 is below the p90; correct the row",
        "4  out_p50: -1 must be from 0 to 2147483647; correct the row",
        "4  out_p99: 3e+09 must be from 0 to 2147483647; correct the row",
        "5  out_p99: x is not a number; correct the row",
        "5  window_start_s: -600 must not be negative; correct the row",
        "5  in_p90: 20 is below the p50; correct the row",
    ]


def test_tokens_of_strangers_do_not_help(tmp_path: Path) -> None:
    told = token_faults(tmp_path, "nobody,0,10,5,20,30,10,5,20,30")

    assert "holds lengths of no client in the rates; give the table of these clients, or add `lengths`" in told


# The scenario


@pytest.mark.parametrize(
    ("lengths", "arrivals", "told"),
    [
        (SAME, {}, "arrivals.clients.path: path is missing; add `path: RATES.csv`, or a list of `clients`"),
        (SAME, {"clients": [one(1), one(2)]}, "clients.1.name: one is given twice"),
        (SAME, {"clients": [one(1)], "path": RATES}, "path cannot be given with `clients`"),
        (None, {"path": RATES}, "lengths is missing; add `lengths` of kind constant, lognormal or quantiles, or the"),
        (None, {"clients": [one(1)]}, "lengths is missing"),
        (SAME, {"path": RATES, "busiest": 0}, "greater than or equal to 1"),
        (SAME, {"path": RATES, "scale": 0}, "greater than 0"),
    ],
)
def test_clients_that_make_no_sense_are_refused(lengths: Any, arrivals: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError) as caught:
        stream(lengths, **arrivals)
    assert told.removeprefix("arrivals.clients.") in str(caught.value)


def test_lengths_may_be_left_out_where_clients_bring_them() -> None:
    assert stream(None, path=RATES, tokens=TOKENS).lengths is None
    assert stream(None, clients=[one(1, lengths=SAME)]).lengths is None


def test_a_scenario_names_its_tables_from_its_own_folder(tmp_path: Path) -> None:
    import yaml

    crowd = {"name": "crowd", "arrivals": {"kind": "clients", "path": "rates.csv", "tokens": "tokens.csv"}}
    file = tmp_path / "scenario.yaml"
    file.write_text(yaml.safe_dump({"name": "s", "horizon": "1h", "workload": [crowd], "fleet": [pool()]}))
    with pytest.raises(InputError) as caught:
        load_scenario(file)
    assert str(caught.value).count("is not a file") == 2

    for table in (RATES, TOKENS):
        (tmp_path / table.name).write_bytes(table.read_bytes())
    blocks = list(build_workload(load_scenario(file), RandomStreams(1, 0)).blocks())
    assert sum(block.arrival_s.size for block in blocks) > 5000


def test_another_replication_needs_no_second_reading_and_is_as_if_built_anew(tmp_path: Path) -> None:
    file = tmp_path / "rates.csv"
    file.write_bytes(RATES.read_bytes())
    closed = {"name": "closed", "arrivals": {"kind": "closed", "concurrency": 2}, "lengths": SAME}
    world = scenario(horizon="20m", workload=[stream(path=file), closed])
    anew = build_workload(world, RandomStreams(1, 1))
    first = build_workload(world, RandomStreams(1, 0))
    file.unlink()
    again = first.replicated(RandomStreams(1, 1))

    assert [block.arrival_s.tolist() for block in again.blocks()] == [b.arrival_s.tolist() for b in anew.blocks()]
    assert [block.arrival_s.tolist() for block in again.blocks()] != [b.arrival_s.tolist() for b in first.blocks()]
    assert again.closed[0].draw(5)[0].tolist() == anew.closed[0].draw(5)[0].tolist()


def test_clients_join_other_streams_in_order_of_time() -> None:
    others = Stream.model_validate(
        {"name": "p", "arrivals": {"kind": "poisson", "rps": 3}, "lengths": SAME, "priority": "batch"}
    )
    both = scenario(horizon="1h", workload=[stream(path=RATES), others])
    blocks = list(build_workload(both, RandomStreams(1, 0)).blocks())
    arrival_s, index, priority = (
        np.concatenate([getattr(block, column) for block in blocks]) for column in ("arrival_s", "stream", "priority")
    )

    assert np.all(np.diff(arrival_s) >= 0)
    assert sorted(set(zip(index.tolist(), priority.tolist(), strict=True))) == [(0, 0), (1, 1)]
    assert arrival_s[index == 0].tolist() == requests(stream(path=RATES), HOUR).arrival_s.tolist()


# The ServeGen tables


@pytest.mark.parametrize(("name", "hours"), [("language-m-large", 6), ("reason-deepseek-r1", 240)])
def test_the_published_tables_give_their_rates(shared: Path, name: str, hours: int) -> None:
    folder = shared / "traces" / "servegen"
    of = stream(None, path=folder / f"{name}.rates.csv.gz", tokens=folder / f"{name}.tokens.csv.gz")
    assert isinstance(of.arrivals, ClientArrivals)
    rates = read_rates(of.arrivals)
    copies = max(hours * HOUR / rates.span_s, 1.0)
    chosen = rates.window * rates.window_s < hours * HOUR
    expected = rates.rate_rps[chosen].sum() * rates.window_s * copies
    found = requests(of, hours * HOUR)

    assert found.arrival_s.size == pytest.approx(expected, rel=0.025)


def test_the_published_shapes_are_of_the_published_variation(shared: Path) -> None:
    """What p1 of the tables is: the shape, in agreement with the variation for Gamma rows (and only for those)."""
    path = shared / "traces" / "servegen" / "reason-deepseek-r1.rates.csv.gz"
    rows = [line.split(",") for line in gzip.decompress(path.read_bytes()).decode().splitlines()[1:]]
    gammas = np.array([[float(row[3]), float(row[5])] for row in rows if row[4] == "Gamma"])

    assert gammas[:, 1] ** -0.5 == pytest.approx(gammas[:, 0], rel=2e-3)


def test_the_published_pool_of_lengths_is_met(shared: Path) -> None:
    folder = shared / "traces" / "servegen"
    pooled = np.genfromtxt(folder / "reason-deepseek-r1.pooled-quantiles.csv", delimiter=",", names=True)
    of = stream(
        None, path=folder / "reason-deepseek-r1.rates.csv.gz", tokens=folder / "reason-deepseek-r1.tokens.csv.gz"
    )
    found = requests(of, DAY)
    for column, tokens in (("input_tokens", found.prompt_tokens), ("output_tokens", found.output_tokens)):
        published = np.interp([0.5, 0.9, 0.99], pooled["quantile"], pooled[column])
        assert np.quantile(tokens, [0.5, 0.9, 0.99]) == pytest.approx(published, rel=0.15)


def test_constant_lengths_of_the_stream_serve_all() -> None:
    assert set(requests(stream(path=RATES), HOUR).prompt_tokens.tolist()) == {
        ConstantLengths.model_validate(SAME).prompt_tokens
    }
