"""What answers come to in a scenario: curves, tables, training, preparation, and what is told of assumptions."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from router.policies import Always, RandomMix, RoundRobin
from sim.engine.specs import Scored
from sim.errors import InputError, ScenarioError
from sim.load import load_scenario
from sim.outcomes import Outcomes
from sim.outcomes.curves import load_curves
from sim.outcomes.luck import ANSWER, uniforms
from sim.scenario import Scenario, Training
from sim.scoring import Scorer
from sim.streams import RandomStreams
from sim.workload.blocks import RequestBlock, plain_block
from tests.small import chat, scenario

CURVES = {"kind": "curves", "class": "arithmetic"}
EVEN = CURVES | {"stratified": True}
CONTEXTS = {"queries": 4, "think_time": "1m", "tokens": 1000}
LENGTHS = {"kind": "constant", "prompt_tokens": 200, "output_tokens": 60}
DIRECT, THINK = {"name": "direct"}, {"name": "think", "kind": "think", "budget_tokens": 118}
VOTE = {"name": "vote", "kind": "vote", "samples": 8, "budget_tokens": 118}
ROWS = 20_000


def asks(questions: Any = CURVES, **changes: Any) -> dict[str, Any]:
    return chat(questions=questions, lengths=LENGTHS, **changes)


def world(*strategies: dict[str, Any], **changes: Any) -> Scenario:
    given = strategies or (DIRECT,)
    router = {"policy": "random", "weights": {each["name"]: 1 for each in given}}
    return scenario(**{"workload": [asks()], "strategies": list(given), "router": router} | changes)


def block(rows: int = ROWS, *, contexts: int = 0, streams: int = 1) -> RequestBlock:
    """Requests in time order; with contexts each of them is on one of so many."""
    key = np.random.default_rng(4).integers(0, 2**63 - 1, rows)
    made = plain_block(np.arange(rows) * 1.0, np.full(rows, 200), np.full(rows, 60), key=key)
    made = made._replace(stream=np.arange(rows) % streams)
    return made._replace(context_id=np.arange(rows) % contexts) if contexts else made


def scored(described: Scenario, requests: RequestBlock, strategy: int = 0) -> Scored:
    return Scorer(Outcomes(described), Always(strategy), RandomStreams(3, 0)).score(requests)


class TestPlain:
    def test_nothing_is_copied_where_nothing_is_modelled(self) -> None:
        requests = block()
        found = scored(world(workload=[chat()]), requests)
        assert np.shares_memory(found.output_tokens, requests.output_tokens)
        assert found.output_tokens.shape == found.p_correct.shape == (ROWS, 1, 1)
        assert np.all(np.isnan(found.p_sample))

    def test_thoughts_come_before_the_answer_and_have_the_budget_as_their_mean(self) -> None:
        found = scored(world(THINK | {"budget_tokens": 500}, workload=[chat()]), block())
        assert np.all(found.output_tokens > 60)
        assert found.output_tokens.mean() == pytest.approx(560, rel=0.02)
        assert np.all(np.isnan(found.p_correct))

    def test_preparation_leaves_less_to_think_about_and_says_that_this_is_assumed(self) -> None:
        described = world(THINK, workload=[chat(contexts=CONTEXTS)], sleep={})
        found = scored(described, block(contexts=40))
        bare, prepared = found.output_tokens[:, :, 0].mean(axis=0)
        assert prepared - 60 == pytest.approx(0.4 * (bare - 60), rel=0.02)
        assert "assumed" in Outcomes(described).warnings[0]
        assert Outcomes(described).saved_tokens(0, 0, np.array([0.5])) == pytest.approx([0.6 * 118])


class TestCurves:
    def test_accuracy_and_tokens_are_those_of_the_class_at_the_budget(self) -> None:
        found = scored(world(THINK, workload=[asks(EVEN)]), block())
        expected = load_curves("arithmetic").think.thinking().accuracy(118)
        assert found.p_correct.mean() == pytest.approx(expected, abs=2e-3)
        assert found.output_tokens.mean() == 118

    def test_a_direct_answer_is_worth_what_its_length_is_worth(self) -> None:
        found = scored(world(DIRECT, workload=[asks(EVEN)]), block())
        assert found.p_correct.mean() == pytest.approx(
            load_curves("arithmetic").think.thinking().accuracy(60), abs=2e-3
        )
        assert np.all(found.output_tokens == 60)

    def test_lengths_within_a_budget_go_with_the_lengths_of_the_requests(self) -> None:
        requests = block()
        requests = requests._replace(output_tokens=np.where(np.arange(ROWS) % 2, 30, 90))
        found = scored(world(THINK), requests)
        assert found.output_tokens[:2, 0, 0].tolist() == [177, 59]

    def test_a_question_keeps_its_difficulty_under_every_policy(self) -> None:
        described, requests = world(DIRECT, THINK, VOTE), block()
        alone = [scored(described, requests, strategy).p_sample[:, 0, 0] for strategy in range(3)]
        outcomes, streams = Outcomes(described), RandomStreams(3, 0)
        mix = RandomMix(["direct", "think", "vote"], {"direct": 1, "think": 2, "vote": 1}, streams.generator("router"))
        for policy in (mix, RoundRobin(3)):
            together = Scorer(outcomes, policy, streams).score(requests)
            assert np.array_equal(together.p_sample[:, 0, 0], np.choose(together.strategy, alone))
        assert np.array_equal(np.argsort(alone[0], kind="stable"), np.argsort(alone[1], kind="stable"))

    def test_blocks_may_be_cut_anywhere(self) -> None:
        described, requests = world(THINK, workload=[asks(EVEN)]), block()
        whole = scored(described, requests)
        scorer = Scorer(Outcomes(described), Always(0), RandomStreams(3, 0))
        parts = [scorer.score(RequestBlock(*(c[part] for c in requests))) for part in (slice(0, 77), slice(77, None))]
        assert np.array_equal(np.concatenate([part.p_correct for part in parts]), whole.p_correct)

    def test_requests_with_the_same_question_are_equally_hard(self) -> None:
        requests = block()._replace(question_id=np.arange(ROWS) % 50)
        p = scored(world(THINK), requests).p_correct[:, 0, 0].reshape(-1, 50)
        assert np.all(p == p[0])
        assert np.unique(p[0]).size > 40

    def test_a_vote_has_the_chance_of_one_sample_and_that_of_the_plurality(self) -> None:
        described = world(VOTE)
        found = scored(described, block())
        assert found.p_correct.mean() > found.p_sample.mean() + 0.03
        assert Outcomes(described).pluralities["vote"] == load_curves("arithmetic").votes.plurality()

    def test_a_vote_of_the_shortest_counts_no_others(self) -> None:
        few = scored(world(VOTE | {"samples": 16, "stop": {"shortest": 8}}), block())
        assert np.array_equal(few.p_correct, scored(world(VOTE), block()).p_correct)

    def test_solutions_that_are_verified_and_trees_have_one_chance(self) -> None:
        verify = {"name": "verify", "kind": "verify", "solutions": 8, "verifications": 4}
        tree = {"name": "tree", "kind": "tree", "width": 4, "branch": 2, "depth": 3}
        for strategy in (verify, tree):
            found = scored(world(strategy), block())
            assert np.array_equal(found.p_sample, found.p_correct)
            assert found.p_correct.mean() > scored(world(DIRECT), block()).p_correct.mean()

    def test_a_strategy_may_have_the_class_of_another_model(self) -> None:
        large = THINK | {"name": "large", "class": "stateful-gsm-p1-gpt-4o"}
        described = world(THINK, large)
        small_p, large_p = (scored(described, block(), strategy).p_correct.mean() for strategy in (0, 1))
        assert large_p > small_p + 0.1

    def test_streams_have_classes_of_their_own(self) -> None:
        other = asks({"kind": "curves", "class": "stateful-gsm-p1-gpt-4o"}) | {"name": "other"}
        found = scored(world(THINK, workload=[asks(), other]), block(streams=2))
        assert found.p_correct[1::2].mean() > found.p_correct[::2].mean() + 0.1

    def test_votes_on_classes_whose_wrong_answers_differ_are_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        curves = load_curves("arithmetic")
        odd = curves.model_copy(update={"name": "odd", "votes": curves.votes.model_copy(update={"skew": 3.0})})
        monkeypatch.setattr("sim.outcomes.laws.load_curves", lambda name: odd if name == "odd" else load_curves(name))
        other = asks({"kind": "curves", "class": "odd"}) | {"name": "other"}
        with pytest.raises(InputError, match="whose wrong answers differ"):
            Outcomes(world(VOTE, workload=[asks(), other]))


class TestPreparation:
    def described(self, strategy: dict[str, Any], **sleep: Any) -> Scenario:
        return world(strategy, workload=[asks(EVEN, contexts=CONTEXTS)], sleep=sleep)

    def test_thinking_stops_earlier_with_the_same_chance(self) -> None:
        found = scored(self.described(THINK), block(contexts=400))
        bare, prepared = found.output_tokens[:, :, 0].mean(axis=0)
        assert prepared < 0.5 * bare
        p = found.p_correct[:, :, 0].mean(axis=0)
        assert p[1] == pytest.approx(p[0], abs=0.02)

    def test_with_a_budget_of_its_own_it_gets_better(self) -> None:
        found = scored(self.described(THINK | {"prepared_budget_tokens": 117}), block(contexts=400))
        assert found.output_tokens[0, :, 0].tolist() == [118, 117]
        assert found.p_correct[:, 1, 0].mean() == pytest.approx(0.711, abs=0.03)

    def test_a_direct_answer_gets_better_at_the_same_length(self) -> None:
        found = scored(self.described(DIRECT), block(contexts=400))
        assert np.all(found.output_tokens == 60)
        assert found.p_correct[:, 1].mean() > found.p_correct[:, 0].mean() + 0.2

    def test_contexts_that_foretell_their_questions_save_more(self) -> None:
        described = self.described(THINK)
        outcomes, requests = Outcomes(described), block(contexts=400)
        scorer = Scorer(outcomes, Always(0), RandomStreams(3, 0))
        rank = scorer.context_predictability(requests.context_id)
        saved = np.subtract(*scorer.score(requests).output_tokens[:, :, 0].T)
        low, high = saved[rank < 0.2].mean(), saved[rank > 0.8].mean()
        assert high > low + 20
        assert outcomes.saved_tokens(0, 0, np.array([0.1, 0.9])) == pytest.approx([low, high], abs=0.5)
        unknown = outcomes.saved_tokens(0, 0, np.array([np.nan]))
        assert unknown == pytest.approx(outcomes.saved_tokens(0, 0, np.linspace(0.1, 0.9, 5)).mean())

    def test_gains_are_those_of_the_requests(self) -> None:
        described = self.described(DIRECT)
        requests = block(contexts=400)
        scorer = Scorer(outcomes := Outcomes(described), Always(0), RandomStreams(3, 0))
        rank = scorer.context_predictability(requests.context_id)
        gained = np.subtract(*scorer.score(requests).p_correct[:, ::-1, 0].T)
        assert outcomes.gained(0, 0, rank).mean() == pytest.approx(gained.mean(), abs=0.01)

    def test_requests_without_a_context_have_nothing_prepared(self) -> None:
        found = scored(self.described(THINK), block())
        assert np.array_equal(found.output_tokens[:, 0], found.output_tokens[:, 1])

    def test_ranks_of_contexts_hang_on_stream_and_number_alone(self) -> None:
        described = world(workload=[asks(contexts=CONTEXTS), asks(contexts=CONTEXTS) | {"name": "other"}])
        ranks = Scorer(Outcomes(described), Always(0), RandomStreams(3, 0)).context_predictability
        one, all_of_them = ranks(np.array([8])), ranks(np.arange(2_000))
        assert one[0] == all_of_them[8]
        assert abs(all_of_them.mean() - 0.5) < 0.02
        assert not np.array_equal(all_of_them[::2], all_of_them[1::2])

    def test_more_work_ahead_saves_more_tokens(self) -> None:
        works = [{"effort": "low"}, {}, {"effort": "high"}, {"effort": "high", "drafts": 5}]
        saved = [Outcomes(self.described(THINK, **work)).saved_tokens(0, 0, np.array([0.5]))[0] for work in works]
        assert saved == sorted(saved)
        assert saved[0] < saved[-1]

    def test_what_preparing_takes_is_the_class_s_or_given(self) -> None:
        tokens = load_curves("arithmetic").sleep.tokens
        assert Outcomes(self.described(THINK)).sleep_work(0) == (round(tokens["medium"]), 1, round(tokens["medium"]))
        assert Outcomes(self.described(THINK, tokens=300, drafts=4)).sleep_work(0) == (300, 4, 1200)

    def test_all_branches_of_a_vote_save(self) -> None:
        saved = Outcomes(self.described(VOTE)).saved_tokens(0, 0, np.array([0.5]))
        assert saved == pytest.approx(8 * Outcomes(self.described(THINK)).saved_tokens(0, 0, np.array([0.5])))


class TestCascade:
    CASCADE: ClassVar[dict[str, Any]] = {"name": "cascade", "kind": "cascade", "steps": ["direct", "think"]}

    def test_it_has_the_answers_of_its_steps(self) -> None:
        described = world(DIRECT, THINK, self.CASCADE)
        found, requests = scored(described, block(), 2), block()
        assert found.output_tokens.shape == (ROWS, 1, 2)
        for step in (0, 1):
            own = scored(described, requests, step)
            assert np.array_equal(found.p_correct[:, 0, step], own.p_correct[:, 0, 0])

    def test_a_better_sense_of_what_is_right_lets_more_right_answers_pass(self) -> None:
        for auc, most in ((0.55, 0.65), (0.99, 0.12)):
            cascade = self.CASCADE | {"confidence_auc": auc, "escalate_below": 0.5}
            requests = block()
            found = scored(world(DIRECT, THINK, cascade), requests, 2)
            right = uniforms(requests.key, ANSWER) < found.p_correct[:, 0, 0]
            passed = found.escalates[:, 0, 0] == 0
            assert np.mean(passed[~right]) < most
            assert auc < 0.9 or np.mean(passed[right]) > 0.9

    def test_votes_leave_it_to_their_agreement(self) -> None:
        cascade = self.CASCADE | {"steps": ["vote", "think"]}
        assert not np.any(scored(world(VOTE, THINK, cascade), block(), 2).escalates[:, :, 0])

    @pytest.mark.filterwarnings("error")
    def test_its_confidence_is_known_on_a_stream_that_nothing_is_prepared_for(self) -> None:
        workload = [asks(contexts=CONTEXTS), asks() | {"name": "plain"}]
        found = scored(world(DIRECT, THINK, self.CASCADE, workload=workload, sleep={}), block(contexts=4, streams=2), 2)
        assert np.array_equal(found.escalates[1::2, 0], found.escalates[1::2, 1])

    def test_without_questions_it_never_goes_on(self) -> None:
        assert not np.any(scored(world(DIRECT, THINK, self.CASCADE, workload=[chat()]), block(), 2).escalates)


class TestTable:
    def described(self, folder: Path, *strategies: dict[str, Any], **questions: Any) -> Scenario:
        lines = ["question,strategy,correct,tokens"]
        for number in range(40):
            lines += [f"{number},direct,{int(number < 10)},{20 + number}", f"{number},think,{int(number < 30)},300"]
            lines += [f"{number},vote,{int(number < 20)},100"]
        file = folder / "outcomes.csv"
        file.write_text("\n".join(lines), encoding="utf-8")
        table = {"kind": "table", "path": str(file)} | questions
        return world(*strategies, workload=[asks(table)])

    def test_every_strategy_answers_the_same_question(self, tmp_path: Path) -> None:
        described = self.described(tmp_path, DIRECT, THINK)
        direct, think = (scored(described, block(), strategy) for strategy in (0, 1))
        assert direct.p_correct.mean() == pytest.approx(0.25, abs=0.01)
        assert think.p_correct.mean() == pytest.approx(0.75, abs=0.01)
        assert np.all(think.p_correct[direct.p_correct == 1.0] == 1.0)
        assert np.all((direct.output_tokens < 30) == (direct.p_correct == 1.0))

    def test_samples_of_a_vote_are_like_its_answer(self, tmp_path: Path) -> None:
        found = scored(self.described(tmp_path, VOTE), block())
        assert np.array_equal(found.p_sample, found.p_correct)
        assert set(np.unique(found.p_sample).tolist()) == {0.0, 1.0}
        # The table tells of all eight samples together.
        assert np.all(found.output_tokens == 12)

    def test_a_strategy_that_was_not_measured_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"holds no outcomes of strategy 'thinks'.*did you mean 'think'"):
            Outcomes(self.described(tmp_path, THINK | {"name": "thinks"}))

    def test_or_takes_the_curves_of_the_class_that_is_named(self, tmp_path: Path) -> None:
        described = self.described(tmp_path, THINK | {"name": "thinks"}, **{"class": "arithmetic"})
        assert scored(described, block()).p_correct.mean() == pytest.approx(0.578, abs=0.01)

    def test_tokens_may_count_many_times_and_that_is_told(self, tmp_path: Path) -> None:
        plain = scored(self.described(tmp_path, DIRECT), block())
        described = self.described(tmp_path, DIRECT, tokens_factor=8)
        found = scored(described, block())
        assert np.array_equal(found.output_tokens, 8 * plain.output_tokens)
        assert np.array_equal(found.p_correct, plain.p_correct)
        assert Outcomes(described).warnings == ("tokens of outcomes.csv count 8 times: assumed",)

    def test_notes_that_were_measured_take_what_they_took(self, tmp_path: Path) -> None:
        file = tmp_path / "notes.csv"
        rows = ["1,direct,0,30,0,,", "1,direct,1,10,1,low,20", "1,direct,1,10,1,medium,50"]
        file.write_text("question,strategy,correct,tokens,prepared,effort,notes_tokens\n" + "\n".join(rows) + "\n")
        workload = [asks({"kind": "table", "path": str(file), "tokens_factor": 2}, contexts=CONTEXTS)]
        for effort, tokens in (("low", 40), ("medium", 100)):
            described = world(DIRECT, workload=workload, sleep={"effort": effort})
            assert Outcomes(described).sleep_work(0).draft_tokens == tokens
        own = world(DIRECT, workload=workload, sleep={"tokens": 7})
        assert Outcomes(own).sleep_work(0).draft_tokens == 7

    def test_training_makes_measured_answers_no_better_and_says_so(self, tmp_path: Path) -> None:
        training = {"name": "tuning", "usd": 1, "over": "1d", "strategies": ["think"], "accuracy_logit": 1}
        plain = self.described(tmp_path, THINK)
        tuned = plain.model_copy(update={"training": (Training.model_validate(training),)})
        assert Outcomes(plain).warnings == ()
        assert "holds them as measured" in Outcomes(tuned).warnings[0]
        assert np.array_equal(scored(tuned, block()).p_correct, scored(plain, block()).p_correct)

    def test_one_that_no_request_can_get_need_not_be_measured(self, tmp_path: Path) -> None:
        described = self.described(tmp_path, DIRECT, THINK | {"name": "thinks"})
        alone = described.model_copy(update={"router": None})
        assert scored(alone, block()).p_correct.mean() == pytest.approx(0.25, abs=0.01)


class TestTraining:
    def trained(self, **changes: Any) -> Scored:
        training = {"name": "tuning", "usd": 1, "over": "1d", "strategies": ["think"]} | changes
        return scored(world(THINK, workload=[asks(EVEN)], training=[training]), block())

    def test_log_odds_tokens_and_class_change(self) -> None:
        plain = scored(world(THINK, workload=[asks(EVEN)]), block())
        better = self.trained(accuracy_logit=1.0)
        odds = better.p_correct / (1.0 - better.p_correct) / (plain.p_correct / (1.0 - plain.p_correct))
        middle = (plain.p_correct > 0.01) & (plain.p_correct < 0.99)
        assert odds[middle] == pytest.approx(np.e)
        assert self.trained(tokens_factor=0.5).output_tokens.mean() == 59
        assert self.trained(**{"class": "stateful-gsm-p1-gpt-4o"}).p_correct.mean() == pytest.approx(0.746, abs=0.01)

    def test_others_stay_as_they_are(self) -> None:
        training = {"name": "tuning", "usd": 1, "over": "1d", "strategies": ["think"], "accuracy_logit": 2.0}
        described = world(DIRECT, THINK, training=[training])
        assert np.array_equal(scored(described, block()).p_correct, scored(world(DIRECT, THINK), block()).p_correct)


class TestWarnings:
    def test_points_say_nothing_beyond_their_range(self) -> None:
        (told,) = Outcomes(world(THINK | {"budget_tokens": 1000})).warnings
        beyond = "1,000 tokens an answer, beyond the 26 to 484 that were published"
        assert told == f"strategy 'think' on class 'arithmetic': {beyond}"

    def test_nothing_is_told_within_it(self) -> None:
        assert Outcomes(world(THINK)).warnings == ()

    def test_votes_and_verifications_of_the_published_class_are_within(self) -> None:
        math = {"kind": "curves", "class": "math-llama-3.1-8b"}
        verify = {"name": "verify", "kind": "verify", "solutions": 256, "verifications": 64}
        vote = {"name": "vote", "kind": "vote", "samples": 256}
        assert Outcomes(world(vote, workload=[asks(math)])).warnings == ()
        (told,) = Outcomes(world(verify, workload=[asks(math)])).warnings
        assert "64 verifications, beyond the 1 to 32" in told

    def test_what_is_assumed_is_told(self) -> None:
        assert any("how wrong answers spread is assumed" in told for told in Outcomes(world(VOTE)).warnings)


def test_a_class_without_curves_is_refused_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    text = "name: s\nhorizon: 1m\nworkload:\n  - name: chat\n    arrivals: {kind: poisson, rps: 1}\n"
    text += "    lengths: {kind: constant, prompt_tokens: 1, output_tokens: 1}\n"
    text += "    questions: {kind: curves, class: aritmetic}\nfleet:\n"
    text += "  - {name: a, gpu: H100-SXM, model: Llama-3.1-8B, offer: {kind: reserved, usd_per_gpu_hour: 2}}\n"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ScenarioError, match=r"s\.yaml:7  workload\.0\.questions\.class: aritmetic is no class"):
        load_scenario(file)


def test_closed_streams_score_their_draws_alike() -> None:
    """What is asked of a block of one's own making hangs on its keys alone."""
    described, requests = world(THINK), block(64)
    again = scored(described, requests._replace(arrival_s=np.zeros(64)))
    assert np.array_equal(again.p_correct, scored(described, requests).p_correct)
