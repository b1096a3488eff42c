"""A scenario file loads, or all its faults are told, each with its line, the value, the rule and a remedy."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.errors import ScenarioError
from sim.load import bundled_scenarios, dump_scenario, load_scenario
from sim.paths import data_path
from sim.scenario import Daily, Poisson, TraceArrivals
from sim.simulation import simulate
from tests.conftest import SMALL_SCENARIO

Write = Callable[[str], Path]


def faults(file: Path, *overrides: str) -> list[str]:
    """The lines of the error that loading this file ends in, with the folder left out of them."""
    with pytest.raises(ScenarioError) as caught:
        load_scenario(file, overrides)
    return str(caught.value).replace(f"{file.parent}/", "").splitlines()


def changed(old: str, new: str) -> str:
    """The small scenario with one of its texts replaced."""
    assert old in SMALL_SCENARIO
    return SMALL_SCENARIO.replace(old, new)


@pytest.mark.parametrize("name", bundled_scenarios())
def test_bundled_scenarios_load_by_name_and_survive_a_round_trip(name: str, scenario_file: Write) -> None:
    scenario = load_scenario(name)

    assert load_scenario(scenario_file(dump_scenario(scenario))) == scenario


def test_the_starter_loads() -> None:
    assert load_scenario(data_path("starter.yaml")).fleet[0].gpu == "H100-SXM"


STARTER = data_path("starter.yaml").read_text(encoding="utf-8")
CHOICES = re.findall(r"^    # (\w+): ([\[{].*[\]}])", STARTER, flags=re.MULTILINE)


@pytest.mark.parametrize(("key", "value"), CHOICES)
def test_every_choice_that_the_starter_comments_on_loads(
    key: str, value: str, scenario_file: Write, tmp_path: Path
) -> None:
    for name in ("requests.csv", "calibration.json"):
        (tmp_path / name).touch()
    part = "workload.chat" if key in ("arrivals", "lengths", "contexts", "questions") else "fleet.main"
    override = f"{part}.{key}={value.replace('path: ', f'path: {tmp_path}/')}"

    load_scenario(scenario_file(STARTER), [override, *(["workload.chat.lengths="] if "trace" in value else [])])


def test_the_starter_comments_on_all_its_choices() -> None:
    assert [key for key, _ in CHOICES] == ["arrivals"] * 4 + ["lengths"] * 2 + [
        "contexts",
        "questions",
        "engine",
        "step_time",
        "schedule",
        "admission",
    ]


def test_the_ways_to_answer_that_the_starter_comments_on_load(scenario_file: Write) -> None:
    text = re.sub(r"(?m)^# (?=strategies:|  - |router:|sleep:)", "", STARTER.replace("# contexts", "contexts"))
    scenario = load_scenario(scenario_file(text))

    kinds = ["direct", "think", "vote", "verify", "tree", "cascade"]
    assert [strategy.kind for strategy in scenario.strategies] == kinds
    assert scenario.sleep is not None


def uncommented(*names: str) -> str:
    """The starter with the pools of these names, which it holds as comments."""
    head, *pools = re.split(r"(?m)^(?=  # - )", STARTER)
    chosen = [text for text in pools if text.startswith(tuple(f"  # - name: {name}\n" for name in names))]
    assert len(chosen) == len(names)
    return head + "".join(re.sub(r"(?m)^  # (- |  )", r"  \1", text) for text in chosen) + "\n"


@pytest.mark.parametrize("names", [("burst",), ("overflow",), ("burst", "overflow")])
def test_the_pools_that_the_starter_comments_on_run(names: tuple[str, ...], scenario_file: Write) -> None:
    spills = [f"fleet.{pool}.admission={{spill_at: 1}}" for pool in ("main", *names)]
    short = ["horizon=20m", "warm_up=0", "replications=1", "start=2026-01-05T09:00", *spills]
    summary = simulate(load_scenario(scenario_file(uncommented(*names)), short)).summary

    assert list(summary["cost"]["by_pool"]) == ["main", *names]
    assert all(usd > 0 for usd in summary["cost"]["by_pool"].values())
    assert "overflow" not in names or "peak" in summary["cost"]["by_window"]


def test_a_misspelled_key_is_one_fault_with_its_line_and_the_right_spelling(scenario_file: Write) -> None:
    file = scenario_file(changed("replicas: 2", "replicsa: 2"))

    assert faults(file) == ["scenario.yaml:12  fleet.0.replicsa: unknown key, did you mean 'replicas'?"]


def test_keys_are_suggested_among_those_of_the_chosen_kind(scenario_file: Write) -> None:
    file = scenario_file(changed("{kind: poisson, rps: 2.0}", "{kind: daily, mean_rp: 2.0, cv: 3}"))

    assert faults(file) == [
        "scenario.yaml:5  workload.0.arrivals.mean_rp: unknown key, did you mean 'mean_rps'?",
        "scenario.yaml:5  workload.0.arrivals.cv: unknown key; "
        "use one of: kind, mean_rps, peak_hour, amplitude, burstiness_cv, weekday_factors",
    ]


def test_all_faults_of_a_file_are_told_at_once_in_their_order(scenario_file: Write) -> None:
    text = """\
name: 5
horizn: 24 hours
seed: -1
seed: 2
time_zone: America/New_Yrk
warm_up: 5 apples
balancer: least-oustanding
workload:
  - name: chat
    arrivals: {kind: poison, rps: 3}
  - name: more
    arrivals: {rps: 3}
  - name: replay
    arrivals: {kind: trace, path: nowhere.csv, format: azure}
    slo: {ttft: 5 apples}
  - name: last
    arrivals: {kind: daily, mean_rps: .inf, amplitude: 2, weekday_factors: {monday: 2}}
    lengths: {kind: constant, prompt_tokens: true, output_tokens: 3.5}
fleet:
  - name: h100
    gpu: H100-SMX
    model: Llama-3.1-8C
    offer: {kind: reserved, usd_per_gpu_hour: .nan}
    step_time: {path: nowhere.json}
    schedule: [{hours: 8-9, replicas: many}]
"""
    told = faults(scenario_file(text))

    assert [fault.split(": ")[0] for fault in told] == [
        "scenario.yaml:1  name",
        "scenario.yaml:2  horizn",
        "scenario.yaml:2  horizon",
        "scenario.yaml:4  seed",
        "scenario.yaml:5  time_zone",
        "scenario.yaml:6  warm_up",
        "scenario.yaml:7  balancer",
        "scenario.yaml:10  workload.0.arrivals.kind",
        "scenario.yaml:12  workload.1.arrivals.kind",
        "scenario.yaml:14  workload.2.arrivals.path",
        "scenario.yaml:15  workload.2.slo.ttft",
        "scenario.yaml:17  workload.3.arrivals.mean_rps",
        "scenario.yaml:17  workload.3.arrivals.amplitude",
        "scenario.yaml:17  workload.3.arrivals.weekday_factors.monday",
        "scenario.yaml:18  workload.3.lengths.prompt_tokens",
        "scenario.yaml:18  workload.3.lengths.output_tokens",
        "scenario.yaml:20  fleet.0.replicas",
        "scenario.yaml:21  fleet.0.gpu",
        "scenario.yaml:22  fleet.0.model",
        "scenario.yaml:23  fleet.0.offer.usd_per_gpu_hour",
        "scenario.yaml:24  fleet.0.step_time.path",
        "scenario.yaml:25  fleet.0.schedule.0.hours",
        "scenario.yaml:25  fleet.0.schedule.0.replicas",
    ]
    assert not [fault for fault in told if "; " not in fault and ", did you mean" not in fault]


WHOLE = "is not a whole number; give a whole number, such as 4"
FINITE = "is not a finite number; give a number, such as 1.5"
TRUTH = "true is a truth value, not a number; give a number"
KINDS = "poisson, gamma, daily, clients, trace, closed"
BALANCERS = "round-robin, least-outstanding, power-of-two, prefix-affinity"
UNITS = "give seconds as a number, or a number with one of the units ms, s, m, h, d, such as 250ms or 24h"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("horizon: 10m", "horizon: 24 hours", f"horizon: 24 hours is not a duration; {UNITS}"),
        ("ttft: 1s", "ttft: 5 apples", f"workload.0.slo.ttft: 5 apples is not a duration; {UNITS}"),
        ("rps: 2.0", "rps: -2", "workload.0.arrivals.rps: -2 must be above 0; raise it"),
        ("rps: 2.0", "rps: .nan", f"workload.0.arrivals.rps: nan {FINITE}"),
        ("rps: 2.0", "rps: .inf", f"workload.0.arrivals.rps: inf {FINITE}"),
        (
            "rps: 2.0",
            "rps: yes",
            f"workload.0.arrivals.rps: {TRUTH}",
        ),
        ("rps: 2.0}", "rps: 2.0}\n    growth: {per_month: yes}", f"workload.0.growth.per_month: {TRUTH}"),
        ("horizon: 10m", "horizon: 10m\nforecast: {bias: yes}", f"forecast.bias: {TRUTH}"),
        (
            "rps: 2.0",
            "rps: many",
            "workload.0.arrivals.rps: many is not a number; give a number, such as 1.5",
        ),
        ("replicas: 2", "replicas: 2.5", f"fleet.0.replicas: 2.5 {WHOLE}"),
        ("replicas: 2", "replicas: 0", "fleet.0.replicas: 0 must be at least 1; raise it"),
        ("replicas: 2", "replicas: 1000000", "fleet.0.replicas: 1000000 must be at most 100000; lower it"),
        ("replicas: 2", "replicas:", f"fleet.0.replicas: null {WHOLE}"),
        (
            "kind: poisson",
            "kind: poison",
            f"workload.0.arrivals.kind: poison is not a known kind; use one of: {KINDS}",
        ),
        ("kind: poisson, ", "", f"workload.0.arrivals.kind: is missing; use one of: {KINDS}"),
        (
            "kind: reserved",
            "kind: spit",
            "fleet.0.offer.kind: spit is not a known kind; use one of: reserved, on-demand, spot",
        ),
        (
            "gpu: H100-SXM",
            "gpu: H100-SMX",
            "fleet.0.gpu: H100-SMX is not a GPU of the catalogue, did you mean 'H100-SXM'?",
        ),
        (
            "    gpu: H100-SXM\n",
            "",
            "fleet.0.gpu: is missing; add it: GPU type, a name in the catalogue such as H100-SXM",
        ),
        (
            "name: small",
            "name: small\ntime_zone: Europe/Berln",
            "time_zone: Europe/Berln is not an IANA time zone, did you mean 'Europe/Berlin'?",
        ),
        (
            "name: small",
            "name: small\nbalancer: fair",
            f"balancer: fair is not accepted; use one of: {BALANCERS}",
        ),
        ("name: small", "name: ''", "name: an empty text is too short; give at least one character"),
        (
            "name: small",
            "name: small\nstrategies: {}",
            "strategies: {} is not a list; write a list, each item after a dash",
        ),
        ("name: small", "name: small\n5: x", "5: unknown key; use one of: name, start, time_zone"),
        (
            "slo: {ttft: 1s, e2e: 30s}",
            "slo: fast",
            "workload.0.slo: fast is not a mapping; write `key: value` pairs",
        ),
        (
            "offer: {",
            "step_time: {path: gone.json}\n    offer: {",
            "fleet.0.step_time.path: gone.json is not a file (gone.json); give the path of an existing file",
        ),
        (
            "{kind: poisson, rps: 2.0}\n    lengths: {kind: constant, prompt_tokens: 200, output_tokens: 50}",
            "{kind: trace, name: azure-llm-2023-conversatoin}",
            "workload.0.arrivals.name: azure-llm-2023-conversatoin is no public trace we know, "
            "did you mean 'azure-llm-2023-conversation'?",
        ),
        ("name: small", "name: small\nname: big", "name: is given twice, first on line 1; keep one of them"),
    ],
)
def test_a_fault_is_told_in_our_words(old: str, new: str, told: str, scenario_file: Write) -> None:
    (fault,) = faults(scenario_file(changed(old, new)))

    assert fault.split("  ", 1)[1].startswith(told)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "scenario.yaml:1  the file is empty; start from `nightshift init`"),
        ("# nothing\n", "scenario.yaml:1  the file is empty"),
        ("- 1\n", "scenario.yaml:1  the file is not a mapping"),
        (
            "a: 1\nb: [1\nc: 2\n",
            "scenario.yaml:3  line 3, column 2 is not valid YAML: while parsing a flow sequence",
        ),
        (
            "a: 1\nb: c: d\n",
            "scenario.yaml:2  line 2, column 5 is not valid YAML: mapping values are not allowed",
        ),
        (
            "a: 1\n---\nb: 2\n",
            "scenario.yaml:2  line 2, column 1 is not valid YAML: expected a single document",
        ),
        (
            "a: !!python/object:os.system {}\n",
            "scenario.yaml:1  line 1, column 4 is not valid YAML: could not determine",
        ),
        ("a: 2026-13-45\n", "scenario.yaml:1  line 1, column 4 is not valid YAML: month must be in 1..12"),
        ("a: &a [*a]\n", "scenario.yaml:1  line 1, column 4 is not valid YAML: a value that contains itself"),
        ("a: \x01\n", "scenario.yaml:1  character #x0001 cannot stand in YAML"),
        ("[" * 5000, "scenario.yaml:1  the YAML is nested too deeply"),
    ],
)
def test_what_is_no_yaml_mapping_is_one_fault_at_its_place(text: str, told: str, scenario_file: Write) -> None:
    (fault,) = faults(scenario_file(text))

    assert fault.startswith(told)


def test_an_alias_bomb_is_defused(scenario_file: Write) -> None:
    levels = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9))
    (fault,) = faults(scenario_file(f"a0: &a0 [x]\n{levels}"))

    assert "more than 100000 values" in fault


def test_anchors_and_merge_keys_work_and_a_merged_key_may_be_overridden(scenario_file: Write) -> None:
    pool = SMALL_SCENARIO[SMALL_SCENARIO.index("  - name: h100") :].replace("- name", "- &pool\n    name")
    text = SMALL_SCENARIO[: SMALL_SCENARIO.index("  - name: h100")] + pool
    scenario = load_scenario(scenario_file(f"{text}  - {{<<: *pool, name: more, replicas: 5}}\n"))

    assert [(pool.name, pool.replicas) for pool in scenario.fleet] == [("h100", 2), ("more", 5)]


def test_a_file_that_is_not_there_is_told_with_the_nearest_bundled_name() -> None:
    with pytest.raises(ScenarioError, match=r"quickstrt does not exist; .* did you mean 'quickstart'"):
        load_scenario("quickstrt")


def test_a_name_in_data_is_a_file_of_ours_unless_the_scenario_brings_its_own(scenario_file: Write) -> None:
    step_time = "step_time: {path: data/curves/arithmetic.yaml}\n    offer: {"
    file = scenario_file(changed("offer: {", step_time))
    named = data_path("curves", "arithmetic.yaml")
    assert load_scenario(file).fleet[0].step_time.path == named

    own = file.parent / "data" / "curves" / "arithmetic.yaml"
    own.parent.mkdir(parents=True)
    own.touch()
    assert load_scenario(file).fleet[0].step_time.path == own


def test_a_folder_and_a_file_of_bytes_are_not_scenarios(tmp_path: Path) -> None:
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\xfa")

    assert faults(tmp_path)[0].split("; ")[0].endswith("cannot be read: Is a directory")
    assert faults(tmp_path / "bytes.yaml") == ["bytes.yaml is not UTF-8 text; give a scenario in YAML"]


def test_overrides_reach_lists_by_index_and_by_name(scenario_file: Write) -> None:
    file = scenario_file(SMALL_SCENARIO)
    scenario = load_scenario(file, ["fleet.h100.replicas=8", "workload.0.arrivals.rps=1e3", "seed=3", "horizon=2h"])

    assert scenario.fleet[0].replicas == 8
    assert scenario.workload[0].arrivals == Poisson(rps=1000.0)
    assert (scenario.seed, scenario.horizon) == (3, 7200.0)


def test_an_override_may_replace_a_whole_part_or_add_one(scenario_file: Write) -> None:
    file = scenario_file(SMALL_SCENARIO)
    scenario = load_scenario(file, ["workload.0.arrivals={kind: daily, mean_rps: 3}", "fleet.0.engine.max_num_seqs=8"])

    assert scenario.workload[0].arrivals == Daily(mean_rps=3.0)
    assert scenario.fleet[0].engine.max_num_seqs == 8


def test_an_override_changes_one_place_even_where_an_alias_is_shared(scenario_file: Write) -> None:
    text = changed("slo: {", "slo: &slo {").replace(
        "fleet:",
        "  - {name: b, arrivals: {kind: poisson, rps: 1}, "
        "lengths: {kind: constant, prompt_tokens: 1, output_tokens: 1}, slo: *slo}\nfleet:",
    )
    scenario = load_scenario(scenario_file(text), ["workload.b.slo.ttft=9s"])

    assert [stream.slo.ttft for stream in scenario.workload] == [1.0, 9.0]


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("fleet.h100.replicsa=8", "fleet.0.replicsa: unknown key, did you mean 'replicas'?"),
        ("fleat.0.replicas=8", "fleat: unknown key, did you mean 'fleet'?"),
        ("fleet.h200.replicas=8", "fleet.h200: 'h200' names no item of fleet, did you mean 'h100'?"),
        ("fleet.3.replicas=8", "fleet.3: '3' names no item of fleet; use one of: h100"),
        ("seed.x=8", "seed.x: does not exist: seed is 1, neither a mapping nor a list; shorten the path"),
        ("workload.0.arrivals.rps=-3", "workload.0.arrivals.rps: -3 must be above 0; raise it"),
        ("workload.0.arrivals.rps=[", "line 1, column 2 is not valid YAML"),
        (
            "seed",
            "seed is not of the form KEY=VALUE; write --set a.b.0.c=value, such as --set fleet.0.replicas=4",
        ),
        ("a..b=3", "a..b=3 is not of the form KEY=VALUE"),
    ],
)
def test_a_wrong_override_is_told_as_such(override: str, told: str, scenario_file: Write) -> None:
    (fault,) = faults(scenario_file(f"seed: 1\n{SMALL_SCENARIO}"), override)

    assert fault.startswith(f"--set {override}  {told}")


def test_faults_of_the_file_and_of_overrides_come_together(scenario_file: Write) -> None:
    told = faults(scenario_file(changed("rps: 2.0", "rps: 0")), "seed=-1", "fleet.x.replicas=3")

    assert [fault.split("  ")[0] for fault in told] == [
        "scenario.yaml:5",
        "--set fleet.x.replicas=3",
        "--set seed=-1",
    ]


def test_a_trace_is_looked_for_beside_the_scenario_but_an_override_where_we_stand(
    scenario_file: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    for file in (tmp_path / "trace.csv", here / "trace.csv"):
        file.touch()
    trace = changed("{kind: poisson, rps: 2.0}", "{kind: trace, path: trace.csv, format: azure}")
    file = scenario_file(trace.replace("    lengths: {kind: constant, prompt_tokens: 200, output_tokens: 50}\n", ""))

    paths = [
        load_scenario(file, overrides).workload[0].arrivals
        for overrides in ([], ["workload.0.arrivals.path=trace.csv"])
    ]

    assert [arrivals.path for arrivals in paths if isinstance(arrivals, TraceArrivals)] == [
        tmp_path / "trace.csv",
        here / "trace.csv",
    ]


def test_names_become_those_of_the_catalogue(scenario_file: Write) -> None:
    text = changed("gpu: H100-SXM", "gpu: h100-sxm").replace("model: Llama-3.1-8B", "model: meta-llama/llama-3.1-8b")
    pool = load_scenario(scenario_file(text)).fleet[0]

    assert (pool.gpu, pool.model) == ("H100-SXM", "Llama-3.1-8B")


def test_a_model_may_be_defined_inline(scenario_file: Write) -> None:
    shape = "layers: 2, hidden: 64, heads: 4, kv_heads: 4, vocab: 99, head_dim: 16, ffn_intermediate: 128"
    text = f"models: [{{name: mine, {shape}}}]\n" + changed("model: Llama-3.1-8B", "model: mine")

    assert load_scenario(scenario_file(text)).fleet[0].model == "mine"


def test_the_full_scenario_holds_every_default(scenario_file: Write) -> None:
    dumped = yaml.safe_load(dump_scenario(load_scenario(scenario_file(SMALL_SCENARIO))))

    assert (dumped["horizon"], dumped["bucket"], dumped["balancer"]) == ("10m", "5m", "least-outstanding")
    assert dumped["fleet"][0]["engine"]["max_num_seqs"] == 256


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rps=st.floats(1e-6, 1e6),
    horizon=st.floats(1, 1e7),
    tokens=st.integers(1, 100_000),
    price=st.floats(0, 1e4),
    name=st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1),
)
def test_any_scenario_survives_a_round_trip(
    rps: float, horizon: float, tokens: int, price: float, name: str, scenario_file: Write
) -> None:
    plain = yaml.safe_load(SMALL_SCENARIO)
    plain |= {"name": name, "horizon": horizon}
    plain["workload"][0] |= {"name": name, "arrivals": {"kind": "gamma", "rps": rps, "cv": 2}}
    plain["workload"][0]["lengths"] |= {"prompt_tokens": tokens}
    plain["fleet"][0]["offer"] |= {"usd_per_gpu_hour": price}
    scenario = load_scenario(scenario_file(yaml.safe_dump(plain, allow_unicode=True)))

    assert load_scenario(scenario_file(dump_scenario(scenario))) == scenario


KEYS = st.sampled_from(
    [
        "name",
        "workload",
        "fleet",
        "arrivals",
        "kind",
        "lengths",
        "slo",
        "models",
        "router",
        "policy",
        "horizon",
        "seed",
        "x",
    ]
)
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.dates()
    | st.sampled_from(["poisson", "trace", "random", "10m"])
)
JUNK = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.integers(), inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    junk=JUNK,
    section=st.sampled_from(["workload", "fleet", "models", "router", "start", "time_zone", "strategies"]),
)
def test_junk_in_a_scenario_ends_in_faults_and_never_in_a_traceback(
    junk: object, section: str, scenario_file: Write
) -> None:
    plain = {**yaml.safe_load(SMALL_SCENARIO), section: junk, "seed": -1}

    assert faults(scenario_file(yaml.safe_dump(plain)))


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text() | st.text("{}[]:,-*&!<>|?'\"%@#\n ab01.", max_size=40), override=st.text(max_size=20))
def test_any_text_ends_in_faults_and_never_in_a_traceback(text: str, override: str, scenario_file: Write) -> None:
    assert faults(scenario_file(text), override, f"name={override}")


def test_a_stream_says_its_model_where_pools_differ(scenario_file: Write) -> None:
    scenario = yaml.safe_load(SMALL_SCENARIO)
    other = {**scenario["fleet"][0], "name": "other", "model": "Qwen3-8B"}
    file = scenario_file(yaml.safe_dump({**scenario, "fleet": [*scenario["fleet"], other]}))

    assert ["the pools serve different models" in fault for fault in faults(file)] == [True] * len(scenario["workload"])
    assert load_scenario(file, ["strategies=[{name: direct, pool: other}]"]).strategies[0].pool == "other"
