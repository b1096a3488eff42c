"""What the lab's engine says: draws, stops, budgets, shared prompts, and that slots are never mixed up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sim.errors import InputError
from sim.lab.engine.clocks import VirtualClock
from sim.lab.engine.engine import Engine, EngineSettings, Job
from sim.lab.engine.loops import run_all, run_closed_loop, run_open_loop
from sim.lab.engine.sampling import choose, log_probabilities, uniforms
from tests.fake_decoder import FakeDecoder

QUESTION = (5, 6, 7, 8)


def an_engine(rows: int = 4, spare: int = 1, **changes: object) -> Engine:
    limits = EngineSettings(max_num_seqs=rows, max_num_batched_tokens=64, kv_capacity_tokens=4096)
    return Engine(FakeDecoder(rows + spare), replace(limits, **changes), VirtualClock(lambda work: 1.0))


def answer(job: Job) -> tuple[int, ...]:
    """What a job says alone."""
    (record,) = run_all(an_engine(1), [replace(job, prefix_of=None)])
    return record.tokens


def test_a_job_ends_at_its_stop_token_and_says_it() -> None:
    spoken = answer(Job(0, QUESTION, max_tokens=9))
    (record,) = run_all(an_engine(), [Job(0, QUESTION, max_tokens=9, stop=frozenset(spoken[3:4]))])
    assert record.tokens == spoken[: spoken.index(spoken[3]) + 1]


def test_fixed_tokens_do_not_stop() -> None:
    spoken = answer(Job(0, QUESTION, max_tokens=9))
    assert answer(Job(0, QUESTION, fixed_tokens=9, stop=frozenset(spoken))) == spoken


def test_nothing_stops_before_the_least_number_of_tokens() -> None:
    stop = frozenset(range(0, 50, 2))
    spoken = answer(Job(0, QUESTION, max_tokens=40, stop=stop, min_tokens=7))
    assert len(spoken) >= 8
    assert not set(spoken[:7]) & stop


def test_a_budget_that_is_spent_forces_the_answer() -> None:
    spoken = answer(Job(0, QUESTION, max_tokens=9, force=(3, (41, 42))))
    assert spoken[:3] == answer(Job(0, QUESTION, max_tokens=3))
    assert spoken[3:5] == (41, 42)
    assert len(spoken) == 9


def test_a_budget_forces_nothing_once_the_answer_was_given() -> None:
    free = answer(Job(0, QUESTION, max_tokens=9))
    assert answer(Job(0, QUESTION, max_tokens=9, force=(3, (41, free[1])))) == free


def test_log_probabilities_are_those_of_the_model() -> None:
    engine = an_engine()
    (record,) = run_all(engine, [Job(0, QUESTION, max_tokens=1, temperature=2.0, seed=3)])
    logits = FakeDecoder(1)
    logits.prefill(0, np.array(QUESTION, np.int32), 0)
    said = logits.say(0, len(QUESTION)).astype(np.float64)
    assert record.logprobs[0] == pytest.approx(said[record.tokens[0]] - np.log(np.exp(said).sum()), rel=1e-5)


def test_greedy_jobs_say_the_same_where_only_the_best_token_is_fetched() -> None:
    jobs = [Job(i, (*QUESTION, i), max_tokens=12) for i in range(9)]
    plain, best = run_all(an_engine(), jobs), run_all(an_engine(logprobs=False), jobs)
    assert [record.tokens for record in best] == [record.tokens for record in plain]
    assert np.isnan(best[0].logprobs).all()


def test_draws_follow_the_probabilities() -> None:
    n, logits = 20_000, np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float32))
    counts = np.arange(n, dtype=np.uint64)
    tokens = choose(np.tile(logits, (n, 1)), np.full(n, 2.0, np.float32), np.full(n, 9, np.uint64), counts)
    softer = np.sqrt([0.5, 0.3, 0.15, 0.05])
    expected = softer / softer.sum()
    error = np.bincount(tokens, minlength=4) / n - expected
    assert np.abs(error).max() < 4 * np.sqrt(0.25 / n)


def test_draws_of_two_seeds_have_nothing_to_do_with_each_other() -> None:
    counts = np.arange(20_000, dtype=np.uint64)
    ours, others = (uniforms(np.full(20_000, seed, np.uint64), counts) for seed in (0, 1))
    assert abs(np.corrcoef(ours, others)[0, 1]) < 4 / np.sqrt(20_000)
    assert abs(np.corrcoef(ours[1:], ours[:-1])[0, 1]) < 4 / np.sqrt(20_000)
    assert 0.0 <= ours.min() < ours.max() < 1.0


def test_log_probabilities_of_a_row_add_up_to_one() -> None:
    logits = np.random.default_rng(0).normal(0, 30, (1, 6)).astype(np.float32)
    every = log_probabilities(np.tile(logits, (6, 1)), np.arange(6))
    assert np.exp(every).sum() == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize(("share", "reads"), [("blocks", 4 + 3 * 4), ("tokens", 4)])
def test_samples_of_a_prompt_read_it_once(share: str, reads: int) -> None:
    """Of 36 tokens two blocks can be shared, or all but the last, which is read beside the decodes."""
    prompt = tuple(range(36))
    jobs = [Job(i, prompt, max_tokens=5, temperature=1.0, seed=i, prefix_of=0 if i else None) for i in range(4)]
    engine = an_engine(share=share)
    records = run_all(engine, jobs)
    assert [record.tokens for record in records] == [answer(job) for job in jobs]
    prefilled = [tokens for kind, tokens in engine.decoder.calls if kind == "prefill"]
    assert sum(prefilled) == 32 + reads
    shared = 32 if share == "blocks" else 35
    assert [record.cached_tokens for record in records] == [0, shared, shared, shared]


def test_jobs_share_what_their_prompts_have_in_common() -> None:
    context = tuple(range(40))
    jobs = [Job(0, (*context, 1)), Job(1, (*context[:20], *range(30, 50)), prefix_of=0)]
    first, second = run_all(an_engine(), jobs)
    assert (first.cached_tokens, second.cached_tokens) == (0, 16)
    assert second.tokens == answer(jobs[1])


def test_a_prompt_whose_first_job_is_gone_is_read_by_the_next() -> None:
    engine, prompt = an_engine(1), tuple(range(36))
    for i in range(3):
        engine.submit(Job(i, prompt, max_tokens=5, prefix_of=0 if i else None))
    cancelled = engine.cancel(0)
    assert cancelled is not None
    assert (cancelled.status, cancelled.output_tokens) == ("cancelled", 0)
    while not engine.idle:
        engine.step()
    assert [record.tokens for record in engine.finished[1:]] == [answer(Job(9, prompt, max_tokens=5))] * 2


def test_a_cancelled_job_leaves_the_others_as_they_were() -> None:
    engine, jobs = an_engine(2), [Job(i, (*QUESTION, i), max_tokens=8) for i in range(3)]
    for job in jobs:
        engine.submit(job)
    engine.step()
    engine.cancel(0)
    while not engine.idle:
        engine.step()
    assert {record.job_id: record.tokens for record in engine.finished[1:]} == {
        job.job_id: answer(job) for job in jobs[1:]
    }


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 2**32))
def test_every_job_says_what_it_would_alone(seed: int) -> None:
    """Whatever is shared, moved, lost for want of slots, preempted or taken up again."""
    rng = np.random.default_rng(seed)
    engine = an_engine(
        int(rng.integers(1, 7)),
        int(rng.integers(1, 4)),
        scheduler=str(rng.choice(["chunked", "prefill-first"])),
        share=str(rng.choice(["blocks", "tokens"])),
        max_num_batched_tokens=int(rng.integers(4, 100)),
        kv_capacity_tokens=int(rng.choice([144, 200, 400])),
    )
    jobs = random_jobs(rng, 14)
    records = run_open_loop(engine, jobs, np.cumsum(rng.integers(0, 9, len(jobs))).tolist())
    assert [record.tokens for record in records] == [answer(job) for job in jobs]


def random_jobs(rng: np.random.Generator, count: int) -> list[Job]:
    jobs: list[Job] = []
    for i in range(count):
        leader = jobs[int(rng.integers(i))] if i and rng.integers(2) else None
        own = tuple(rng.integers(0, 50, rng.integers(1, 80)).tolist())
        start = leader.prompt[: int(rng.integers(1, 90))] if leader else ()
        job = Job(
            i,
            (*start, *own)[:90],
            max_tokens=int(rng.integers(1, 40)),
            temperature=float(rng.integers(2)),
            seed=i,
            stop=frozenset([3]),
            priority=leader.priority if leader else int(rng.integers(3)),
            force=(5, (7, 9)) if rng.integers(3) == 0 else None,
            prefix_of=leader.family if leader else None,
        )
        jobs.append(job)
    return jobs


def test_steps_are_whole_and_follow_on_each_other() -> None:
    engine = an_engine(2)
    run_closed_loop(engine, [Job(i, QUESTION, fixed_tokens=3) for i in range(4)], concurrency=2)
    assert [(step.begin_s, step.seconds) for step in engine.steps] == [(i, 1.0) for i in range(len(engine.steps))]
    assert sum(step.prompt_tokens for step in engine.steps) == 4 * len(QUESTION)
    assert sum(step.decode_rows for step in engine.steps) == 4 * 2


def test_a_step_after_a_time_of_nothing_to_do_begins_when_there_is_something() -> None:
    engine = an_engine()
    engine.submit(Job(0, QUESTION))
    engine.step()
    engine.cancel(0)
    engine.clock.wait_until(100.0)
    engine.submit(Job(1, QUESTION))
    engine.step()
    assert [(step.begin_s, step.seconds) for step in engine.steps] == [(0.0, 1.0), (100.0, 1.0)]


@pytest.mark.parametrize(
    ("job", "rule"),
    [
        (Job(0, ()), "is empty"),
        (Job(0, QUESTION, max_tokens=0), "is not at least 1"),
        (Job(0, QUESTION, max_tokens=510), "do not fit into a row of 512"),
        (Job(0, (1, 99)), "is no token of a vocabulary of 50"),
        (Job(0, QUESTION, priority=3), "is no class"),
        (Job(0, QUESTION, temperature=-1.0), "is no temperature"),
        (Job(1, QUESTION), "is the number of a job that is not over"),
        (Job(2, QUESTION, priority=1, prefix_of=1), "is not the class of the job"),
    ],
)
def test_jobs_that_cannot_be_served_are_refused(job: Job, rule: str) -> None:
    engine = an_engine()
    engine.submit(Job(1, QUESTION))
    with pytest.raises(InputError, match=rule):
        engine.submit(job)


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"max_num_seqs": 5}, "need a decoder with one slot more"),
        ({"max_num_seqs": 0}, "is not at least 1"),
        ({"max_num_batched_tokens": 0}, "is not at least 1"),
        ({"kv_capacity_tokens": 15}, "less than a block"),
        ({"scheduler": "fifo"}, "is no scheduler"),
    ],
)
def test_settings_that_cannot_be_are_refused(changes: dict[str, object], rule: str) -> None:
    with pytest.raises(InputError, match=rule):
        an_engine(**changes)


def test_a_job_too_long_for_the_memory_is_refused() -> None:
    with pytest.raises(InputError, match="do not fit into the KV memory of 32"):
        an_engine(kv_capacity_tokens=32).submit(Job(0, QUESTION, max_tokens=30))
