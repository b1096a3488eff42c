"""The lab's language: answers recomputed from the text alone, splits, prompts, chains, notes and checks."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from sim.errors import InputError
from sim.lab import language as lab
from sim.lab.language import Language, Split, decode, encode, make_context, make_questions

HELD_OUT = Language.held_out()
CONTEXTS = [make_context(HELD_OUT, Split.DEV, index) for index in range(60)]
ASKED = [(context, question) for context in CONTEXTS for question in make_questions(HELD_OUT, context, 5)]


def values_in(text: str, modulus: int = 13) -> dict[str, int]:
    """The value of each name of a context, by Python's own arithmetic on the text of its facts."""
    values: dict[str, int] = {}
    for name, operand, change in re.findall(r"(\w) = (\w+)(?: ([-+*]\d+))? ;", text):
        start = values[operand] if operand in values else int(operand)
        values[name] = eval(f"({start} {change})") % modulus
    return values


def answer_to(text: str, modulus: int = 13) -> int:
    """The answer to the text of a prompt: facts first, the question after its mark."""
    facts, _, rest = text.partition("<question>")
    values = values_in(facts, modulus)
    asked = rest.split("<")[0].split()
    return eval(" ".join(str(values.get(word, word)) for word in asked)) % modulus


@pytest.mark.parametrize("modulus", [7, 13, 17])
def test_answers_follow_from_the_text_alone(modulus: int) -> None:
    spoken = replace(HELD_OUT, modulus=modulus)
    for index in range(40):
        context = make_context(spoken, Split.TEST, index)
        for question in make_questions(spoken, context, 4):
            prompt = lab.question_prompt(context, question, "direct")
            assert answer_to(decode(prompt), modulus) == question.answer


def test_steps_count_the_operations_on_which_an_answer_depends() -> None:
    for context, question in ASKED:
        made_of = dict(re.findall(r"(\w) = ([a-p]) ", decode(context.tokens)))
        words = decode(question.tokens).split()
        needed = set()
        for name in words[::2]:
            while name in made_of:
                needed.add(name)
                name = made_of[name]
        assert question.steps == len(needed) + len(words) // 2
        assert question.predictable == (len(words) == 1)


def test_the_same_seed_gives_the_same_contexts_and_another_gives_others() -> None:
    again = make_context(HELD_OUT, Split.DEV, 5)
    assert again == CONTEXTS[5]
    assert make_questions(HELD_OUT, again, 9)[:5] == make_questions(HELD_OUT, again, 5)
    assert make_context(replace(HELD_OUT, seed=1), Split.DEV, 5) != again


def test_splits_share_no_context() -> None:
    for spoken in (Language.training(), HELD_OUT):
        seen = [{make_context(spoken, split, index).tokens for index in range(400)} for split in Split]
        assert sum(map(len, seen)) == len(set.union(*seen)) == 1200


def test_a_topic_foretells_what_predictable_questions_ask_for() -> None:
    for word, at_least, at_most in (
        ("<last>", 0.7, 1.0),
        ("<third>", 0.7, 1.0),
        ("<hub>", 0.7, 1.0),
        ("<any>", 0, 0.5),
    ):
        hits = [
            question.tokens[0] == context.facts[context.favourite].name
            for context, question in ASKED
            if question.predictable and decode([context.topic]) == word
        ]
        assert at_least <= np.mean(hits) <= at_most


def test_rare_constants_are_rarer_in_training() -> None:
    def large_share(spoken: Language) -> float:
        facts = [fact for index in range(300) for fact in make_context(spoken, Split.DEV, index).facts]
        words = [decode([fact.operation]) for fact in facts if fact.operation is not None]
        return float(np.mean([int(word[1:]) > 6 for word in words]))

    assert large_share(Language.training()) < 0.5 * large_share(HELD_OUT)


def test_a_chain_is_right_step_by_step_and_ends_in_the_answer() -> None:
    for context, question in ASKED:
        values = values_in(decode(context.tokens))
        text = decode(lab.chain(context, question))
        for name, operand, value, change, result in re.findall(r"(\w) (\w) (\d+) ([-+*]\d+) (\d+)", text):
            assert values[operand] == int(value)
            assert values[name] == int(result) == eval(f"{value} {change}") % 13
        assert text.endswith(f"<answer> {question.answer} <end>")
        assert lab.read_answer(lab.chain(context, question)) == question.answer


def test_a_chain_of_a_named_quantity_has_six_tokens_a_step() -> None:
    lengths = {q.steps: len(lab.chain(context, q)) for context, q in ASKED if q.predictable}
    assert all(length == 6 * steps + 5 for steps, length in lengths.items())


def test_the_language_reads_as_its_guide_says() -> None:
    context, question = CONTEXTS[0], make_questions(HELD_OUT, CONTEXTS[0], 1)[0]
    prompt = decode(lab.question_prompt(context, question, "think"))
    assert re.fullmatch(r"<begin> <\w+>( \w = (\d+|\w [-+*]\d+) ;)+ <question> [a-p]( [-+] [a-p]){0,2} <think>", prompt)


def test_notes_state_right_values_and_more_with_effort() -> None:
    for context in CONTEXTS:
        values = values_in(decode(context.tokens))
        sections = [lab.notes(context, effort) for effort in ("low", "medium", "high")]
        noted = [lab.noted_values(section) for section in sections]
        for known in noted:
            assert all(values[decode([name])] == value for name, value in known.items())
        assert context.facts[context.favourite].name in noted[0]
        assert len(noted[0]) <= len(noted[1]) <= len(noted[2]) == len(context.derived)
        assert 3 * len(noted[1]) >= 2 * len(context.derived)


def test_notes_make_chains_shorter_and_leave_the_answer() -> None:
    for context, question in ASKED:
        section = lab.notes(context, "high")
        short, long = lab.chain(context, question, section), lab.chain(context, question)
        assert lab.read_answer(short) == question.answer
        assert len(short) <= len(long) - 5 * (question.steps - len(question.tokens) // 2)


def test_wrong_notes_are_built_on_as_they_stand() -> None:
    context = CONTEXTS[0]
    place = context.derived[0]
    question = next(q for q in make_questions(HELD_OUT, context, 200) if q.tokens == (context.facts[place].name,))
    section = list(lab.notes(context, "high"))
    at = next(
        i
        for i in range(3, len(section))
        if section[i - 4] == question.tokens[0] and section[i - 1] in [fact.operation for fact in context.facts]
    )
    section[at] = (section[at] + 1) % 13
    assert lab.read_answer(lab.chain(context, question, section)) == (question.answer + 1) % 13


def test_a_check_accepts_right_solutions_and_stops_at_the_first_slip() -> None:
    random = np.random.default_rng(1)
    for context, question in ASKED:
        right = lab.chain(context, question)
        assert lab.read_verdict(lab.check(context, question, right)) is True
        for slip in lab.Slip:
            solution = lab.corrupted(context, question, slip, random)
            judgement = lab.check(context, question, solution)
            assert lab.read_verdict(judgement) is (solution == right[:-1])
            if solution != right[:-1]:
                agreed = next(i for i, (a, b) in enumerate(zip(solution, right, strict=False)) if a != b)
                assert judgement[:agreed] == right[:agreed]
                assert judgement[:-2] == right[: len(judgement) - 2]
                assert len(judgement) - 2 > agreed


def test_most_slips_change_the_answer() -> None:
    random = np.random.default_rng(2)
    for slip in lab.Slip:
        wrong = [lab.read_answer(lab.corrupted(c, q, slip, random)) != q.answer for c, q in ASKED]
        assert np.mean(wrong) > 0.6


def test_text_and_tokens_go_round() -> None:
    for context, question in ASKED[:50]:
        prompt = lab.verify_prompt(context, question, lab.chain(context, question))
        assert encode(decode(prompt)) == prompt
    assert len(set(lab.VOCABULARY)) == lab.VOCABULARY_SIZE < 128
    with pytest.raises(InputError, match="bogus is no word"):
        encode("a = bogus ;")


def test_all_prompts_of_a_context_share_its_prefix() -> None:
    for context, question in ASKED[:50]:
        prefix = lab.context_prompt(context)
        section = lab.notes(context, "low")
        prompts = [
            lab.prepare_prompt(context, "low"),
            lab.question_prompt(context, question, "direct"),
            lab.question_prompt(context, question, "think", section),
            lab.verify_prompt(context, question, lab.chain(context, question)),
        ]
        assert all(prompt[: len(prefix)] == prefix for prompt in prompts)
        assert prompts[2][: len(prefix) + len(section)] == [*prefix, *section]


def test_continuations_stay_within_their_limits() -> None:
    limits = lab.MAX_TOKENS
    for context, question in ASKED:
        whole = lab.chain(context, question)
        noted = lab.notes(context, "high")
        assert len(whole) <= limits["think"]
        assert len(noted) - 1 <= limits["prepare"]
        assert len(lab.check(context, question, whole)) <= limits["verify"]
        longest = len(lab.context_prompt(context)) + 8 + 1
        assert longest + limits["prepare"] + 2 + limits["think"] <= lab.MAX_POSITIONS
        assert longest + limits["think"] + limits["verify"] <= lab.MAX_POSITIONS


def test_notes_are_closed_where_the_model_did_not_close_them() -> None:
    body = encode("b a 4 *7 2")
    assert lab.noted_section("low", body) == lab.noted_section("low", [*body, lab.NOTED])
    assert lab.noted_section("low", body) == encode("<low> b a 4 *7 2 <noted>")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("5 <end>", 5),
        ("5", 5),
        ("<answer> 7 <end>", 7),
        ("d a : d a 4 *7 2 <answer> 2 <end>", 2),
        ("<answer> 3 <answer> 4", 4),
        ("d a : d a 4", None),
        ("d a : <answer>", None),
        ("<answer> a", None),
        ("", None),
    ],
)
def test_answers_are_read_from_what_was_generated(text: str, answer: int | None) -> None:
    assert lab.read_answer(encode(text)) == answer


@pytest.mark.parametrize(("text", "verdict"), [("d a : <no> <end>", False), ("<answer> 2 <yes>", True), ("d a", None)])
def test_verdicts_are_read_from_what_was_generated(text: str, verdict: bool | None) -> None:
    assert lab.read_verdict(encode(text)) is verdict


@pytest.mark.parametrize("fault", [{"modulus": 19}, {"modulus": 1}, {"max_facts": 17}, {"min_facts": 3}])
def test_a_language_that_cannot_be_is_refused(fault: dict[str, int]) -> None:
    with pytest.raises(InputError):
        replace(HELD_OUT, **fault)
