"""Every way a file of measurements can be wrong is told with its line, all at once."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from sim.errors import CatalogueError, InputError
from sim.hardware import load_catalogue
from sim.measurements import Assumed, Setup, read_measurements

HEADER = "model,gpu,isl,osl,concurrency,ttft_ms,tpot_ms"
ROW = "Llama-3.1-8B,H100,1024,128,8,90.5,8.5"
PARTS = "prompt_size,batch_size,token_size,prompt_time,token_time,e2e_time,model,hardware,tensor_parallel"
PART = "128,1,11,20,8,100,Llama-3.1-8B,A100,1"
STEPS = "batch_size,kv_tokens_per_seq,total_kv_tokens,step_ms"
META = {"model": "Llama-3.1-8B", "gpu": "H100", "engine_kwargs": {"max_num_seqs": 8, "max_num_batched_tokens": 512}}
REQUEST = {
    "input_toks": 9,
    "output_toks": 3,
    "queued_ts": 1.0,
    "scheduled_ts": 1.1,
    "first_token_ts": 1.2,
    "last_token_ts": 1.4,
}

Told = Callable[..., list[str]]


@pytest.fixture
def told(tmp_path: Path) -> Told:
    """What is said of a file with these lines, without its folder."""

    def faults(*lines: str, name: str = "runs.csv", **assumed: object) -> list[str]:
        content = "\n".join(lines)
        (tmp_path / name).write_text(content, encoding="utf-8")
        return _said([tmp_path / name], tmp_path, **assumed)

    return faults


def _said(paths: list[Path], folder: Path, **assumed: object) -> list[str]:
    with pytest.raises(InputError) as raised:
        read_measurements(paths, load_catalogue(), assume=Assumed(**assumed))
    return str(raised.value).replace(f"{folder}/", "").splitlines()


def test_all_faults_of_a_file_are_told_at_once_in_order(told: Told) -> None:
    wrong = "Lama-3.1-8B,h1000,1024,-1,x,nan,0"

    assert told(HEADER, ROW, "Llama-3.1-8B,H100,1024,128,16,,8.5", wrong, ROW.replace("8.5", "0.0085")) == [
        "runs.csv:3  ttft_ms: an empty text is not a finite number; correct the row or leave it out",
        "runs.csv:4  osl: -1 must be above 0; correct the row or leave it out",
        "runs.csv:4  concurrency: x is not a finite number; correct the row or leave it out",
        "runs.csv:4  ttft_ms: nan is not a finite number; correct the row or leave it out",
        "runs.csv:4  tpot_ms: 0 must be above 0; correct the row or leave it out",
        "runs.csv:4  model: Lama-3.1-8B is not a model of the catalogue, did you mean 'Llama-3.1-8B'?",
        "runs.csv:4  gpu: h1000 is not a GPU of the catalogue, did you mean 'H100-SXM'?",
        "runs.csv:5  tpot_ms: 0.0085 is shorter than any can be in milliseconds; "
        "the file has mixed units, or the row is wrong: correct it or leave it out",
    ]


def test_ten_faults_are_shown_and_the_others_counted(told: Told) -> None:
    said = told(HEADER, *[ROW.replace("128", "-1")] * 14)

    assert (len(said), said[-1]) == (11, "and 4 more")


def test_the_error_can_be_copied(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_text(f"{HEADER}\n{ROW}\n{ROW[:-3]}0\n")
    with pytest.raises(InputError) as raised:
        read_measurements([tmp_path / "runs.csv"], load_catalogue())

    # Worker processes hand errors over in this way; the bytes are our own.
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)  # noqa: S301


@pytest.mark.parametrize(
    ("lines", "end"),
    [
        ([], "runs.csv is empty; give a CSV file with a header line"),
        (["", " "], "runs.csv is empty; give a CSV file with a header line"),
        ([HEADER], "runs.csv holds no row; give at least 2"),
        ([HEADER, ROW], "runs.csv holds 1 row, which cannot identify how times grow; give at least 2"),
        ([HEADER, ROW, "a,b"], "a,b has 2 fields where the header has 7; correct the row or leave it out"),
        (["isl,isl,tpot_ms", "1,2,3"], "isl names more than one column; leave out or rename the others"),
        (
            [HEADER, ROW, 'x"' + "y" * 200_000],
            "runs.csv is no CSV (field larger than field limit (131072)); correct the line",
        ),
        (["a\0b"], "runs.csv is not a text file; give a text file"),
    ],
)
def test_files_that_are_no_tables(told: Told, lines: list[str], end: str) -> None:
    assert told(*lines)[0].endswith(f"  {end}")


def test_a_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "runs.csv").write_bytes(b"\xff\xfe\x00")

    assert _said([tmp_path / "runs.csv"], tmp_path) == ["runs.csv  runs.csv is not UTF-8 text; give a text file"]


def test_a_path_that_does_not_exist(tmp_path: Path) -> None:
    assert _said([tmp_path / "none.csv"], tmp_path) == ["none.csv does not exist; check the path"]


def test_a_folder_without_measurements(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("none")
    (tmp_path / "prices.csv").write_text("gpu,usd\nH100,2\n")

    (said,) = _said([tmp_path], tmp_path)

    assert said.startswith(f"{tmp_path} holds no measurements; name a CSV file of measurements")


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (HEADER.replace("concurrency", "concurency"), ["concurrency, did you mean 'concurency'?"]),
        (HEADER.replace("gpu", "machine"), ["gpu or system or hardware; the file has: model, machine, isl"]),
        (HEADER.replace("tpot_ms", "tpot"), ["tpot_s or tpot_ms, did you mean 'tpot'?"]),
        (HEADER.replace("isl", "tpot_s"), ["isl", "tpot_s and tpot_ms say the same thing twice"]),
        (
            "batch_size,step_ms",
            ["kv_tokens or total_kv_tokens or kv_tokens_per_seq; the file has: batch_size, step_ms"],
        ),
        ("cached_tokens,step_ms", ["decode_rows or decode_batch or batch_size", "prompt_tokens or"]),
        (PARTS.replace("e2e_time", "e2e_tim"), ["e2e_time, did you mean 'e2e_tim'?"]),
        ("foo,bar", ["foo, bar are not the columns of a measurement; give a column of times: concurrency or ttft_s"]),
        ("prompt_tim,size", ["prompt_tim, size are not the columns of a measurement, did you mean 'prompt_time'?"]),
    ],
)
def test_columns_that_are_missing_or_given_twice(told: Told, header: str, said: list[str]) -> None:
    row = ",".join(["1"] * len(header.split(",")))

    faults = told(header, row, row)

    assert len(faults) == len(said)
    assert all(part in fault and "runs.csv:1  " in fault for part, fault in zip(said, faults, strict=True)), faults


def test_a_column_in_another_unit_than_its_name_says(told: Told) -> None:
    header = HEADER.replace("tpot_ms", "tpot_s")

    assert told(header, ROW, ROW.replace("8.5", "9.5")) == [
        "runs.csv:1  tpot_s holds times longer than any can be, did you mean 'tpot_ms'?"
    ]


@pytest.mark.parametrize(
    ("row", "column", "rule"),
    [
        (ROW.replace("90.5", "0.0905"), "ttft_ms", "0.0905 is shorter than any can be in milliseconds"),
        (ROW.replace("90.5", "9e6"), "ttft_ms", "9e6 is longer than any can be in milliseconds"),
        (ROW.replace(",8.5", ",8500"), "tpot_ms", "8500 is longer than any can be in milliseconds"),
    ],
)
def test_rows_in_another_unit_than_the_rest(told: Told, row: str, column: str, rule: str) -> None:
    (said,) = told(HEADER, ROW, ROW.replace("128", "256"), row)

    assert said.startswith(f"runs.csv:4  {column}: {rule}; the file has mixed units")


@pytest.mark.parametrize("ranks", ["1.5", "-2", "two", "inf"])
def test_layouts_that_are_no_counts(told: Told, ranks: str) -> None:
    assert told(f"{HEADER},tp_size", f"{ROW},2", f"{ROW},{ranks}") == [
        f"runs.csv:3  tp_size: {ranks} is no count of GPUs; give a whole number, or leave it blank"
    ]


def test_a_precision_that_does_not_exist(told: Told) -> None:
    (said,) = told(f"{HEADER},precision", f"{ROW},fp8", f"{ROW},fp7")

    assert said.startswith("runs.csv:3  precision: fp7 is not a weight format; use one of: bf16")


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (PART.replace(",8,", ",80,"), "token_time: 80 is not that of each token, as in the other rows: mixed units"),
        (PART.replace(",8,", ",5,"), "token_time: 5 and prompt_time do not add up to e2e_time"),
        ("128,1,11,.02,.008,.1,Llama-3.1-8B,A100,1", "token_time: .008 is shorter than any can be in milliseconds"),
        ("128,1,11,2e4,8e3,1e5,Llama-3.1-8B,A100,1", "token_time: 8e3 is longer than any can be in milliseconds"),
        (PART.replace("Llama-3.1-8B", ""), "model: an empty text is not a model of the catalogue"),
        (PART.replace(",20,", ",-20,"), "prompt_time: -20 must be above 0"),
    ],
)
def test_prompt_and_token_times_unlike_the_rest(told: Told, row: str, said: str) -> None:
    (fault,) = told(PARTS, PART, PART, row)

    assert fault.startswith(f"runs.csv:4  {said}"), fault


def test_prompt_and_token_times_without_a_decode_step(told: Told) -> None:
    single = PART.replace(",11,", ",1,")

    assert told(PARTS, single, single) == [
        "runs.csv  runs.csv holds no batch with a decode step; give batches of at least 2 tokens a row"
    ]


def test_steps_that_cannot_be(told: Told) -> None:
    assert told(STEPS, "1,100,100,8.1", "2,100,300,9", "1.5,0,0,8", "0,0,0,9", "-1,inf,5,5", "1,9,9,0") == [
        "runs.csv:3  total_kv_tokens: 300 is not the KV tokens of a row times the rows; "
        "correct the row or leave it out",
        "runs.csv:4  batch_size: 1.5 is no whole number; correct the row",
        "runs.csv:5  a step with neither decode rows nor prompt tokens; leave it out",
        "runs.csv:6  batch_size: -1 must not be negative; correct the row or leave it out",
        "runs.csv:6  kv_tokens_per_seq: inf is not a finite number; correct the row or leave it out",
        "runs.csv:7  step_ms: 0 must be above 0; correct the row or leave it out",
    ]


def test_steps_in_another_unit(told: Told) -> None:
    rows = ["1,100,100,8.1", "2,100,200,8.2", "4,100,400,0.0084", "8,100,800,8600"]

    short, long = told(STEPS, *rows, model="Llama-3.1-8B", gpu="H100")

    assert short.startswith("runs.csv:4  step_ms: 0.0084 is shorter than any can be in milliseconds")
    assert long.startswith("runs.csv:5  step_ms: 8600 is longer than any can be in milliseconds")


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ("{", "{ is no JSON"),
        ("[1]", "[1] is no JSON object"),
        ({"input_toks": None}, "the request lacks prompt_tokens or input_toks"),
        ({"input_toks": True}, "input_toks: true is not a whole number of 1 to 2147483647"),
        ({"output_toks": 0}, "output_toks: 0 is not a whole number of 1 to 2147483647"),
        ({"queued_ts": None}, "the request lacks queued_ts"),
        ({"queued_ts": "1"}, "queued_ts: 1 is not a time in seconds"),
        ({"queued_ts": float("nan")}, "queued_ts: nan is not a time in seconds"),
        ({"scheduled_ts": 0.5}, "scheduled_ts: 0.5 is before queued_ts (1.0)"),
        ({"first_token_ts": 0.5, "scheduled_ts": None}, "first_token_ts: 0.5 is before queued_ts (1.0)"),
        ({"last_token_ts": 1.15}, "last_token_ts: 1.15 is before first_token_ts (1.2)"),
        ({"last_token_ts": 1.2}, "last_token_ts: 1.2 is no later than first_token_ts"),
    ],
)
def test_requests_that_cannot_be(tmp_path: Path, request_: str | dict[str, object], said: str) -> None:
    changed = request_ if isinstance(request_, str) else _changed(REQUEST, request_)

    (fault,) = _said([_run(tmp_path, META, json.dumps(REQUEST), "", changed)], tmp_path)

    assert fault == f"run/requests.jsonl:3  {said}; correct the request or leave it out"


def test_a_run_of_one_request(tmp_path: Path) -> None:
    (said,) = _said([_run(tmp_path, META, json.dumps(REQUEST))], tmp_path)

    assert said.endswith("holds too few requests (1) to show how a server fares under load; give at least 2")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": None}, "model is missing; add the checkpoint's name, or say which model it is"),
        ({"model": 5}, "5 in model is not a text; correct it"),
        ({"gpu": None}, "run does not say its GPU; add `gpu` to meta.json"),
        ({"engine_kwargs": None}, "null stands for engine_kwargs; give the engine's settings as an object"),
        ({"engine_kwargs": {}}, "max_num_seqs is missing from engine_kwargs; add what the server was started with"),
        (
            {"engine_kwargs": {"max_num_seqs": 0}},
            "0 in max_num_seqs is not a whole number of at least 1; correct it",
        ),
    ],
)
def test_settings_that_are_missing_or_wrong(tmp_path: Path, change: dict[str, object], said: str) -> None:
    (fault,) = _said([_run(tmp_path, _changed(META, change), json.dumps(REQUEST))], tmp_path)

    assert fault == f"run/meta.json  {said}"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{\n,", "run/meta.json:2  meta.json is no JSON"),
        ("[]", "run/meta.json  meta.json is no JSON object; correct it"),
        (None, "run/meta.json does not exist; check the path"),
        ("[" * 100_000, "run/meta.json  meta.json is nested too deeply; correct it"),
    ],
)
def test_settings_that_cannot_be_read(tmp_path: Path, text: str | None, said: str) -> None:
    folder = _run(tmp_path, META, json.dumps(REQUEST))
    (folder / "meta.json").unlink() if text is None else (folder / "meta.json").write_text(text)

    (fault,) = _said([folder], tmp_path)

    assert fault.startswith(said)


@pytest.mark.parametrize(
    "assumed", [{"model": "Lama"}, {"gpu": "h1000"}, {"weights": "fp7"}, {"kv": "fp4"}, {"tensor_parallel": 0}]
)
def test_assumptions_that_the_catalogue_lacks(assumed: dict[str, object]) -> None:
    with pytest.raises(CatalogueError):
        read_measurements([], load_catalogue(), assume=Assumed(**assumed))


def test_a_setup_of_a_format_that_does_not_exist() -> None:
    with pytest.raises(CatalogueError, match="fp7 is not a weight format"):
        Setup(model=None, gpu=None, weights="fp7")


def _changed(values: dict[str, object], change: dict[str, object]) -> dict[str, object]:
    """The values with a change; None leaves one out."""
    return {name: value for name, value in {**values, **change}.items() if value is not None}


def _run(folder: Path, meta: object, *requests: object) -> Path:
    (folder / "run").mkdir()
    (folder / "run" / "meta.json").write_text(json.dumps(meta))
    lines = [line if isinstance(line, str) else json.dumps(line) for line in requests]
    (folder / "run" / "requests.jsonl").write_text("\n".join(lines))
    return folder / "run"


def test_points_of_published_figures_are_sent_to_their_option(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    file.write_text('{\n "fig9": {}\n}\n', encoding="utf-8")
    with pytest.raises(InputError, match="points of published figures are read with --papers"):
        read_measurements([file], load_catalogue())
