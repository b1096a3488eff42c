"""Traces: every format, every way a file can be wrong, replay, inspection and conversion."""

from __future__ import annotations

import gzip
import math
import tracemalloc
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sim.errors import InputError, TraceError
from sim.scenario import GpuPool, Poisson, QuantileLengths, Reserved, Scenario, Stream, TraceArrivals
from sim.streams import RandomStreams
from sim.workload.blocks import RequestBlock
from sim.workload.convert import convert_trace
from sim.workload.inspect import format_inspection, inspect_trace
from sim.workload.traces import TraceReader, TraceRows
from sim.workload.traces.formats import format_named
from sim.workload.traces.lines import Lines
from sim.workload.traces.parsers import CsvParser
from sim.workload.workload import Workload, build_workload

AZURE = """\
TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.995169,396,109
2023-11-16 18:16:51,879,55
"""
MOONCAKE = """\
{"timestamp": 0, "input_length": 6758, "output_length": 500, "hash_ids": [0, 1]}
{"timestamp": 1250, "input_length": 7322, "output_length": 490, "hash_ids": [0, 2]}
"""
BURSTGPT = """\
Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type
5,ChatGPT,472,18,490,Conversation log
45,ChatGPT,1087,0,1087,Conversation log
118,GPT-4,417,276,693,Conversation log
"""
NIGHTSHIFT = """\
arrival_s,prompt_tokens,output_tokens,context_id,question_id,priority
0.5,10,1,7,0,interactive
1.25,20,2,report.pdf,,2
1.25,30,3,,5,
4,40,4,report.pdf,q-1,batch
"""
PLAIN = "arrival_s,prompt_tokens,output_tokens\n0.5,10,1\n1.5,20,2\n4.0,30,3\n"


@pytest.fixture
def trace(tmp_path: Path):
    """Writes the content of a trace and gives back its path."""

    def write(content: str | bytes, name: str = "trace.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write


def read(path: Path, format: str | None = None, on_bad_row: str = "refuse") -> TraceRows:
    blocks = TraceReader(path, format, on_bad_row).rows()
    return TraceRows._make(map(np.concatenate, zip(*blocks, strict=True)))


def as_lists(path: Path, format: str | None = None, on_bad_row: str = "refuse") -> list[list[float]]:
    return [column.tolist() for column in read(path, format, on_bad_row)[:3]]


def workload(*arrivals: TraceArrivals, horizon: float | None = None) -> Workload:
    pool = GpuPool(name="gpus", gpu="H100-SXM", model="Llama-3.1-8B", replicas=1, offer=Reserved(usd_per_gpu_hour=2))
    streams = [Stream(name=f"s{index}", arrivals=one, priority="batch") for index, one in enumerate(arrivals)]
    scenario = Scenario(name="test", horizon=horizon, workload=streams, fleet=[pool])
    return build_workload(scenario, RandomStreams(1, 0))


def replay(path: Path, horizon: float | None = None, **settings) -> RequestBlock:
    arrivals = TraceArrivals(path=path, format="nightshift", **settings)
    blocks = workload(arrivals, horizon=horizon).blocks()
    return RequestBlock._make(map(np.concatenate, zip(*blocks, strict=True)))


# Formats


def test_azure_times_count_from_the_first_row(trace):
    assert as_lists(trace(AZURE), "azure") == [[0.0, 4.314579, 64.31941], [374, 396, 879], [44, 109, 55]]


def test_azure_times_may_carry_an_offset(trace):
    text = AZURE.replace("18:15:50.995169", "19:15:50.995169+01:00").replace("18:16:51,", "18:16:51Z,")
    assert as_lists(trace(text), "azure")[0] == [0.0, 4.314579, 64.31941]


def test_mooncake_times_are_milliseconds(trace):
    assert as_lists(trace(MOONCAKE), "mooncake") == [[0.0, 1.25], [6758, 7322], [500, 490]]


def test_burstgpt_times_are_kept_as_written(trace):
    assert as_lists(trace(BURSTGPT), "burstgpt", "skip") == [[5.0, 118.0], [472, 417], [18, 276]]


def test_nightshift_rows_carry_context_question_and_priority(trace):
    rows = read(trace(NIGHTSHIFT))
    assert rows.arrival_s.tolist() == [0.5, 1.25, 1.25, 4.0]
    assert rows.priority.tolist() == [0, 2, -1, 1]
    assert rows.context_id[[0, 2]].tolist() == [7, -1]
    assert rows.context_id[1] == rows.context_id[3] >= 2**62
    assert rows.question_id[:3].tolist() == [0, -1, 5]


def test_a_text_has_the_same_number_in_every_file(trace):
    other = "arrival_s,prompt_tokens,output_tokens,context_id\n0,1,1,zebra\n0,1,1,report.pdf\n"
    assert read(trace(other, "b.csv")).context_id[1] == read(trace(NIGHTSHIFT)).context_id[1]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (AZURE, "azure"),
        (MOONCAKE, "mooncake"),
        (BURSTGPT, "burstgpt"),
        (NIGHTSHIFT, "nightshift"),
        (PLAIN, "nightshift"),
    ],
)
@pytest.mark.parametrize("pack", [str.encode, lambda text: gzip.compress(text.encode())], ids=["plain", "gzip"])
def test_format_and_compression_are_found_from_the_content(trace, text: str, name: str, pack):
    assert TraceReader(trace(pack(text), "any.name")).format.name == name


@pytest.mark.parametrize(
    "text",
    [
        PLAIN.replace("\n", "\r\n"),
        "\n\n" + PLAIN.replace("\n", "\n\n"),
        PLAIN.removesuffix("\n"),
        "\ufeff" + PLAIN,
        PLAIN.replace("10,1", '"10", 1 '),
        PLAIN.replace("20,2", "20.0,2e0"),
        "output_tokens,note,arrival_s,prompt_tokens\n1,,0.5,10\n2,x,1.5,20\n3,,4,30\n",
    ],
    ids=["CRLF", "blank lines", "no last line end", "BOM", "quotes and spaces", "whole floats", "other columns"],
)
def test_the_same_rows_in_other_clothes(trace, text: str):
    assert as_lists(trace(text)) == [[0.5, 1.5, 4.0], [10, 20, 30], [1, 2, 3]]


def test_several_gzip_members_are_one_file(trace):
    head, tail = PLAIN.encode()[:50], PLAIN.encode()[50:]
    assert as_lists(trace(gzip.compress(head) + gzip.compress(tail)))[1] == [10, 20, 30]


def test_long_files_are_read_in_pieces_with_times_and_lines_carried_over(trace):
    rows = [f"{index * 0.25},{index % 90 + 1},{index % 7 + 1}" for index in range(200_000)]
    path = trace("arrival_s,prompt_tokens,output_tokens\n" + "\n".join(rows) + "\n")
    blocks = list(TraceReader(path).rows())
    assert len(blocks) > 2
    assert np.concatenate([part.arrival_s for part in blocks]).tolist() == (np.arange(200_000) * 0.25).tolist()

    rows[150_000] = "3.0,1,1"
    path = trace("arrival_s,prompt_tokens,output_tokens\n" + "\n".join(rows) + "\n")
    with pytest.raises(TraceError, match=r"trace\.csv:150002  3\.0 in arrival_s is earlier than the row before it"):
        list(TraceReader(path).rows())


def test_reading_takes_constant_memory(trace):
    peaks = []
    for rows in (30_000, 120_000):
        lines = "\n".join(f"{index},17,4,{'x' * 100}" for index in range(rows))
        path = trace(f"arrival_s,prompt_tokens,output_tokens,note\n{lines}")
        tracemalloc.start()
        assert sum(part.arrival_s.size for part in TraceReader(path).rows()) == rows
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


FIELD = st.one_of(
    st.sampled_from(
        ["1", "12", "3.0", "2.5", "", " 7 ", "+4", "-1", "0", "nan", "inf", "1e3", "1_0", "x", '"5"', "٣", "0x1"]
    ),
    st.integers(-5, 2**65).map(str),
    st.floats().map(repr),
)


@given(st.lists(st.tuples(FIELD, FIELD, FIELD).map(",".join), min_size=1, max_size=6))
@example(["1,1,1000000000000000000"])
@example(["1,0999999999999999999,1"])
@example(["1,1,-0009007199254740993"])
def test_the_fast_road_agrees_with_the_slow_one(texts: list[str]):
    """A line that is no row, put last, sends all the lines before it down the slow road."""
    parser = CsvParser(format_named("nightshift"), ["arrival_s", "prompt_tokens", "output_tokens"])
    fast, slow = parser.parse(Lines(2, texts)), parser.parse(Lines(2, [*texts, "no row"]))
    assert len(fast.faults) + 1 == len(slow.faults)
    for one, other in zip(fast.table, slow.table, strict=True):
        assert one.tobytes() == other.tobytes()


@given(
    st.datetimes(min_value=datetime(1970, 1, 1)),
    st.sampled_from([" ", "T"]),
    st.integers(0, 7),
)
def test_calendar_times_agree_on_both_roads(moment, joint: str, decimals: int):
    text = moment.replace(year=min(moment.year, 2199), day=min(moment.day, 28)).isoformat(joint, "microseconds")
    text = text[: 19 + decimals + 1] if decimals else text[:19]
    parser = CsvParser(format_named("azure"), ["TIMESTAMP", "ContextTokens", "GeneratedTokens"])
    fast, slow = (parser.parse(Lines(2, [f"{text},1,1", *more])).table.time.tolist() for more in ([], ["no row"]))
    assert fast == slow


# Bad files and rows

BAD_ROWS = {
    "unparsable time": ("soon,10,1", "soon in arrival_s is not a number"),
    "NaN time": ("nan,10,1", "nan in arrival_s is not a finite number"),
    "endless time": ("inf,10,1", "inf in arrival_s is not a finite number"),
    "negative time": ("-2.5,10,1", "-2.5 in arrival_s must not be negative"),
    "earlier time": ("0.25,10,1", "0.25 in arrival_s is earlier than the row before it"),
    "no prompt": ("2,0,1", "0 in prompt_tokens must be at least 1"),
    "negative prompt": ("2,-3,1", "-3 in prompt_tokens must be at least 1"),
    "no output": ("2,10,0", "0 in output_tokens must be at least 1"),
    "half a token": ("2,10,1.5", "1.5 in output_tokens is not a whole number"),
    "NaN tokens": ("2,nan,1", "nan in prompt_tokens is not a whole number"),
    "giant prompt": ("2,99999999999,1", "99999999999 in prompt_tokens must be at most 2147483647"),
    "absurd prompt": ("2,1e300,1", "1e300 in prompt_tokens is not a whole number"),
    "missing field": ("2,10", "2,10 has 2 fields where the header has 3"),
    "empty field": ("2,,1", "an empty field in prompt_tokens is not a number"),
    "surplus field": ("2,10,1,5", "2,10,1,5 has 4 fields where the header has 3"),
    "open quote": ('2,"10,1', '2,"10,1 has 2 fields where the header has 3'),
}


@pytest.mark.parametrize(("row", "message"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_a_bad_row_is_named_by_line_or_skipped(trace, row: str, message: str):
    path = trace(f"arrival_s,prompt_tokens,output_tokens\n0.5,10,1\n\n{row}\n4,30,3\n")
    with pytest.raises(TraceError) as caught:
        read(path)
    remedy = "correct the row, or leave out bad rows with `on_bad_row: skip`"
    assert str(caught.value) == f"{path}:4  {message}; {remedy}"

    reader = TraceReader(path, on_bad_row="skip")
    assert [part.prompt_tokens.tolist() for part in reader.rows()] == [[10, 30]]
    assert reader.skipped == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{nonsense", "{nonsense is not JSON"),
        ("[1, 2]", "[1, 2] is not a JSON object"),
        ('{"timestamp": 3, "input_length": 5}', "lacks output_length"),
        ('{"timestamp": 3, "input_length": "5", "output_length": 1}', '"5" in input_length is not a number'),
        ('{"timestamp": 3, "input_length": true, "output_length": 1}', "true in input_length is not a number"),
        ('{"timestamp": 3, "input_length": 5.5, "output_length": 1}', "5.5 in input_length is not a whole number"),
        ('{"timestamp": NaN, "input_length": 5, "output_length": 1}', "nan in timestamp is not a finite number"),
        ('{"timestamp": -3, "input_length": 5, "output_length": 1}', "-3.0 in timestamp must not be negative"),
        ('{"timestamp": 3, "input_length": 5, "output_length": 0}', "0 in output_length must be at least 1"),
        ('{"timestamp": 1' + "0" * 400 + ', "input_length": 5, "output_length": 1}', "in timestamp is too large"),
        ("[" * 100_000, "is not JSON"),
    ],
)  # fmt: skip
def test_a_bad_mooncake_row_is_named_by_line_or_skipped(trace, row: str, message: str):
    path = trace(f"{row}\n{MOONCAKE}")
    with pytest.raises(TraceError) as caught:
        read(path, "mooncake")
    assert str(caught.value).startswith(f"{path}:1  ")
    assert message in str(caught.value)
    assert as_lists(path, "mooncake", "skip")[0] == [0.0, 1.25]


@pytest.mark.parametrize(
    "time", ["2023-11-16", "yesterday", "2023-13-16 18:15:46", "1700000000", "NaT", "9999-01-01 00:00:00"]
)
def test_a_bad_azure_time_is_named_by_line(trace, time: str):
    path = trace(f"{AZURE}{time},1,1\n")
    with pytest.raises(TraceError, match=rf"trace\.csv:5  {time} in TIMESTAMP is not a time such as"):
        read(path, "azure")


def test_an_earlier_azure_time_is_shown_as_it_stands(trace):
    path = trace(f"{AZURE}2023-11-16 18:15:47.5,1,1\n")
    with pytest.raises(TraceError, match=r":5  2023-11-16 18:15:47\.500000000 in TIMESTAMP is earlier"):
        read(path, "azure")


def test_skipping_goes_on_from_the_last_good_time(trace):
    path = trace("arrival_s,prompt_tokens,output_tokens\n1,1,1\n5,0,1\n2,2,1\n1.5,3,1\n2,4,1\n3,5,1\n")
    assert as_lists(path, on_bad_row="skip")[1] == [1, 2, 4, 5]


def test_an_unknown_priority_is_a_bad_row(trace):
    path = trace(NIGHTSHIFT.replace("batch", "urgent"))
    with pytest.raises(TraceError, match=r":5  urgent in priority is not a priority"):
        read(path)


BROKEN = {
    "missing": (None, "does not exist"),
    "empty": (b"", "trace.csv is an empty trace"),
    "blank": (b"\n \n\n", "trace.csv is an empty trace"),
    "empty gzip": (gzip.compress(b""), "trace.csv is an empty trace"),
    "header only": (b"arrival_s,prompt_tokens,output_tokens\n", "trace.csv is an empty trace"),
    "truncated gzip": (gzip.compress(PLAIN.encode() * 50)[:-20], "trace.csv is a truncated gzip file"),
    "gzip cut in the head": (gzip.compress(PLAIN.encode())[:5], "trace.csv is a truncated gzip file"),
    "damaged gzip": (gzip.compress(PLAIN.encode())[:-8] + b"12345678", "trace.csv is a damaged gzip file"),
    "binary": (bytes(range(256)) * 40, "trace.csv is not a text file"),
    "wrong encoding": (PLAIN.encode() + "4,1,1,café\n".encode("latin-1"), "is not UTF-8 text (byte 0xe9)"),
    "UTF-16": (PLAIN.encode("utf-16"), "trace.csv is not"),
    "endless line": (b"x" * (17 << 20), "trace.csv holds a line of more than 16 MiB"),
}  # fmt: skip


@pytest.mark.parametrize(("content", "message"), BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("on_bad_row", ["refuse", "skip"])
def test_a_broken_file_is_refused_in_one_line(trace, tmp_path, content, message: str, on_bad_row: str):
    path = tmp_path / "nowhere.csv" if content is None else trace(content)
    with pytest.raises(TraceError) as caught:
        read(path, "nightshift", on_bad_row)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_wrong_encoding_is_named_by_line(trace):
    with pytest.raises(TraceError, match=r"trace\.csv:5  "):
        read(trace(PLAIN.encode() + b"4,1,1\xff\n"))


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(TraceError, match="is a folder; name the trace file inside it"):
        read(tmp_path)


def test_a_trace_of_bad_rows_only_is_empty(trace):
    with pytest.raises(TraceError, match=r"holds no request \(bad rows skipped: 3\)"):
        read(trace(PLAIN.replace(",1\n", ",0\n").replace(",2\n", ",0\n").replace(",3\n", ",x\n")), None, "skip")


@pytest.mark.parametrize(
    ("text", "format", "missing", "remedy"),
    [
        (AZURE, "nightshift", "arrival_s, prompt_tokens, output_tokens", "it looks like `format: azure`"),
        (PLAIN, "mooncake", "timestamp, input_length, output_length", "it looks like `format: nightshift`"),
        (MOONCAKE, "azure", "TIMESTAMP, ContextTokens, GeneratedTokens", "it looks like `format: mooncake`"),
        ("arrival_s,output_tokens\n", "nightshift", "prompt_tokens", "name the columns in the first line"),
    ],
)
def test_the_wrong_format_is_told_with_the_likely_one(trace, text: str, format: str, missing: str, remedy: str):
    with pytest.raises(TraceError) as caught:
        read(trace(text), format)
    assert str(caught.value).endswith(f" lacks {missing} of format {format}; {remedy}")


@pytest.mark.parametrize(("content", "format"), [("a,b\n1,2\n", None), (PLAIN, "excel")])
def test_unknown_formats_are_refused(trace, content: str, format: str | None):
    with pytest.raises(TraceError, match=r"known trace format|is not a trace format"):
        read(trace(content), format)


# Replay


def test_replay_keeps_times_tokens_and_order(trace):
    rows = replay(trace(NIGHTSHIFT))
    assert rows.arrival_s.tolist() == [0.5, 1.25, 1.25, 4.0]
    assert rows.prompt_tokens.tolist() == [10, 20, 30, 40]
    assert rows.priority.tolist() == [0, 2, 1, 1]  # the stream is batch; a row's own priority goes first


def test_speed_divides_times(trace):
    assert replay(trace(PLAIN), speed=2.0).arrival_s.tolist() == [0.25, 0.75, 2.0]


def test_repeats_follow_end_to_end_after_a_mean_gap(trace):
    """Three rows over 3.5 s: a mean gap of 1.75 s, a period of 5.25 s."""
    expected = [0.5, 1.5, 4.0, 5.75, 6.75, 9.25]
    assert replay(trace(PLAIN), repeat=2).arrival_s.tolist() == expected
    assert replay(trace(PLAIN), repeat=2, speed=0.5).arrival_s.tolist() == [2 * time for time in expected]


@pytest.mark.parametrize(("horizon", "left"), [(1.5, 1), (1.6, 2), (5.75, 3), (100.0, 6)])
def test_replay_stops_at_the_horizon(trace, horizon: float, left: int):
    assert replay(trace(PLAIN), horizon, repeat=2).arrival_s.size == left


def test_a_single_instant_cannot_be_repeated(trace):
    path = trace("arrival_s,prompt_tokens,output_tokens\n1,1,1\n1,2,2\n")
    assert replay(path).prompt_tokens.tolist() == [1, 2]
    with pytest.raises(TraceError, match="cannot be repeated"):
        replay(path, repeat=2)


def test_faults_show_before_the_first_block(trace):
    rows = "\n".join(f"{index + 5},17,4" for index in range(100_000))
    with pytest.raises(TraceError, match=r":100005  1\.0 in arrival_s is earlier"):
        workload(TraceArrivals(path=trace(f"{PLAIN}{rows}\n1,1,1\n"), format="nightshift"))


def test_a_workload_counts_skipped_rows_and_is_finite(trace):
    arrivals = TraceArrivals(path=trace(BURSTGPT), format="burstgpt", on_bad_row="skip")
    work = workload(arrivals)
    assert (work.skipped, work.finite) == ({"s0": 1}, True)


def test_traces_merge_with_other_streams_in_time_order(trace):
    path = trace(PLAIN)
    quantiles = QuantileLengths(prompt_tokens=[1, 9], output_tokens=[1, 9])
    pool = GpuPool(name="g", gpu="H100-SXM", model="Llama-3.1-8B", replicas=1, offer=Reserved(usd_per_gpu_hour=2))
    streams = [
        Stream(name="live", arrivals=Poisson(rps=5), lengths=quantiles),
        Stream(name="log", arrivals=TraceArrivals(path=path, format="nightshift", repeat=4)),
    ]
    work = build_workload(Scenario(name="test", horizon=30, workload=streams, fleet=[pool]), RandomStreams(1, 0))
    rows = RequestBlock._make(map(np.concatenate, zip(*work.blocks(), strict=True)))
    assert np.all(np.diff(rows.arrival_s) >= 0)
    assert rows.prompt_tokens[rows.stream == 1].tolist() == [10, 20, 30] * 4
    assert not work.finite


# Inspection and conversion


def test_inspection_agrees_with_numpy(trace):
    random = np.random.default_rng(3)
    arrival_s = 100 + np.cumsum(random.gamma(0.5, 0.02, 120_000))
    prompts, outputs = random.geometric(0.01, 120_000), random.geometric(0.2, 120_000)
    rows = zip(arrival_s.tolist(), prompts.tolist(), outputs.tolist(), random.integers(0, 50, 120_000).tolist())  # noqa: B905
    lines = "\n".join(",".join(map(str, row)) for row in rows)
    found = inspect_trace(trace(f"arrival_s,prompt_tokens,output_tokens,context_id\n{lines}\n"))

    gaps = np.diff(arrival_s)
    minutes = np.bincount(((arrival_s - arrival_s[0]) // 60).astype(int))
    seconds = np.bincount(((arrival_s - arrival_s[0]) // 1).astype(int))
    assert found["rows"] == 120_000
    assert found["span_s"] == pytest.approx(arrival_s[-1] - arrival_s[0])
    assert found["mean_rps"] == pytest.approx(1 / gaps.mean())
    assert found["peak_rps"] == {"over_1_s": seconds.max(), "over_60_s": pytest.approx(minutes.max() / 60)}
    assert found["interarrival_cv"] == pytest.approx(gaps.std() / gaps.mean())
    assert found["dispersion_60_s"] == pytest.approx(minutes[:-1].var() / minutes[:-1].mean())
    assert found["contexts"] == 50
    for tokens, part in ((prompts, "prompt_tokens"), (outputs, "output_tokens")):
        figures = found[part]
        shares = [0.01, 0.05, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99]
        assert list(figures.values())[1:9] == pytest.approx(np.quantile(tokens, shares).tolist())
        assert (figures["mean"], figures["max"], figures["total"]) == (
            pytest.approx(tokens.mean()),
            tokens.max(),
            tokens.sum(),
        )


def test_inspection_of_a_single_request_has_no_rates(trace):
    found = inspect_trace(trace("arrival_s,prompt_tokens,output_tokens\n3,5,7\n"))
    assert (found["rows"], found["mean_rps"], found["interarrival_cv"], found["dispersion_60_s"]) == (
        1, None, None, None,
    )  # fmt: skip
    assert "requests      1" in format_inspection(found)


def test_inspection_as_text(trace):
    text = format_inspection(inspect_trace(trace(BURSTGPT), on_bad_row="skip"))
    assert "requests      2  (1 bad rows skipped)" in text
    assert text.splitlines()[-2].split()[1:5] == ["444", "418", "420", "431"]


@pytest.mark.parametrize("name", ["out.csv", "out.csv.gz"])
@pytest.mark.parametrize("text", [AZURE, MOONCAKE, NIGHTSHIFT, PLAIN], ids=["azure", "mooncake", "full", "plain"])
def test_conversion_keeps_every_bit(trace, tmp_path, text: str, name: str):
    source, target = trace(text), tmp_path / name
    converted = convert_trace(source, target)
    assert converted["rows"] == len(read(source).arrival_s)
    for one, other in zip(read(source), read(target, "nightshift"), strict=True):
        assert one.tobytes() == other.tobytes()
    assert (target.read_bytes()[:2] == b"\x1f\x8b") is name.endswith(".gz")


def test_converting_twice_gives_the_same_file(trace, tmp_path):
    source = trace(NIGHTSHIFT)
    for name in ("one.csv.gz", "two.csv.gz"):
        convert_trace(source, tmp_path / name)
    assert (tmp_path / "one.csv.gz").read_bytes() == (tmp_path / "two.csv.gz").read_bytes()


def test_a_trace_can_be_converted_onto_itself(trace):
    path = trace(AZURE)
    convert_trace(path, path)
    assert as_lists(path, "nightshift")[1] == [374, 396, 879]


def test_a_failed_conversion_leaves_nothing(trace, tmp_path):
    source, target = trace(BURSTGPT), tmp_path / "out.csv"
    with pytest.raises(TraceError):
        convert_trace(source, target)
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("name", ["missing/out.csv", "."])
def test_an_unwritable_target_is_refused(trace, tmp_path, name: str):
    source = trace(PLAIN)
    with pytest.raises(InputError, match="cannot be written"):
        convert_trace(source, tmp_path / name)
    assert list(tmp_path.iterdir()) == [source]


# Public traces


def test_the_azure_conversation_trace(shared: Path):
    path = shared / "traces" / "azure-llm-2023-conv.csv.gz"
    rows = read(path, "azure")
    assert rows.arrival_s.size == 19_366
    assert rows.prompt_tokens.mean() == pytest.approx(1154.697, abs=5e-4)
    assert rows.output_tokens.mean() == pytest.approx(211.126, abs=5e-4)
    assert rows.arrival_s[[0, 1, -1]].tolist() == [0.0, 4.314579, 3501.721937]


def test_the_mooncake_traces(shared: Path):
    synthetic = inspect_trace(shared / "traces" / "mooncake-synthetic.jsonl.gz")
    conversation = inspect_trace(shared / "traces" / "mooncake-conversation.first45min.jsonl.gz")
    assert (synthetic["rows"], conversation["rows"]) == (3_993, 8_940)
    assert conversation["span_s"] == pytest.approx(2_700, abs=3)
    assert math.isclose(synthetic["prompt_tokens"]["mean"], 15_325.477, rel_tol=1e-6)


def test_the_head_of_burstgpt_has_three_failed_requests(shared: Path):
    path = shared / "traces" / "burstgpt-head54.csv"
    with pytest.raises(TraceError, match=r"burstgpt-head54\.csv:22  0 in Request tokens must be at least 1"):
        read(path, "burstgpt")
    found = inspect_trace(path, on_bad_row="skip")
    assert (found["rows"], found["skipped"]) == (51, 3)
