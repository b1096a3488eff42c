"""The lab's model in torch: trees in a row, weights on disk, sampling, and that training teaches it something."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from sim.errors import InputError  # noqa: E402
from sim.lab import language as lab  # noqa: E402
from sim.lab.decoder.weights import DecoderConfig, read_weights  # noqa: E402
from sim.lab.language import Language, Split, decode  # noqa: E402
from sim.lab.train_model import Training, train  # noqa: E402
from sim.lab.training.branches import KINDS, Mix, Solution, make_batch  # noqa: E402
from sim.lab.training.judge import asked, own_solutions  # noqa: E402
from sim.lab.training.model import Cache, Decoder, causal_mask, load_decoder, save_weights, tree_mask  # noqa: E402
from sim.lab.training.sampling import generate, log_probabilities  # noqa: E402
from sim.lab.training.table import model_table  # noqa: E402

TINY = DecoderConfig(
    vocab_size=lab.VOCABULARY_SIZE, width=32, layers=2, heads=4, kv_heads=2, head_size=8, mlp_width=48, tied=False
)
SPOKEN = Language.training()


def random_decoder(config: DecoderConfig = TINY) -> Decoder:
    """A decoder all of whose parts matter, unlike a fresh one."""
    torch.manual_seed(0)
    model = Decoder(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn_like(weight) * 0.2)
    return model.eval()


def logits_of(model: Decoder, tokens: list[int]) -> torch.Tensor:
    """Logits [tokens, vocabulary] of one plain sequence."""
    rows = torch.tensor([tokens])
    with torch.no_grad():
        return model(rows, torch.arange(len(tokens))[None], causal_mask(torch.tensor([len(tokens)]), len(tokens)))[0]


def branches_of(nodes: np.ndarray) -> list[tuple[list[int], list[int]]]:
    """Places of each node below the root with those of the nodes above it, and its own places alone."""
    found = []
    for node in sorted(set(nodes[:, 0]) - {-1, 0}):
        own = np.flatnonzero(nodes[:, 0] == node)
        above = {int(number) for number in nodes[own[0]]}
        found.append(([int(place) for place in np.flatnonzero(np.isin(nodes[:, 0], list(above)))], list(own)))
    return found


def test_branches_in_a_row_see_what_they_would_see_alone() -> None:
    model = random_decoder()
    batch = make_batch(SPOKEN, Mix(), 0, 3, 256, {})
    tensors = [torch.from_numpy(part) for part in (batch.tokens, batch.positions, batch.nodes)]
    with torch.no_grad():
        packed = model(tensors[0], tensors[1], tree_mask(tensors[2]))
    for row in range(3):
        for whole, own in branches_of(batch.nodes[row]):
            alone = logits_of(model, [int(token) for token in batch.tokens[row][whole]])
            torch.testing.assert_close(packed[row][own], alone[-len(own) :], atol=1e-4, rtol=1e-4)
            assert list(batch.positions[row][whole]) == list(range(len(whole)))


def test_targets_are_the_next_tokens_of_a_branch() -> None:
    batch = make_batch(SPOKEN, Mix(), 7, 8, 256, {})
    seen = set()
    for row in range(8):
        context = lab.make_context(SPOKEN, Split.TRAIN, 7 + row)
        told = batch.targets[row][batch.kinds[row] == KINDS.index("value")]
        assert tuple(told) == context.values
        for _, own in branches_of(batch.nodes[row]):
            tokens, targets, kinds = (part[row][own] for part in (batch.tokens, batch.targets, batch.kinds))
            asked_for = targets[:-1] >= 0
            assert list(targets[:-1][asked_for]) == list(tokens[1:][asked_for])
            assert targets[-1] == -1
            assert list(kinds >= 0) == list(targets >= 0)
            seen |= {KINDS[kind] for kind in kinds if kind >= 0}
    assert seen == set(KINDS) - {"value"}


def test_the_same_contexts_make_the_same_batch() -> None:
    first, again, other = (make_batch(SPOKEN, Mix(), start, 4, 256, {}) for start in (0, 0, 4))
    assert all(np.array_equal(a, b) for a, b in zip(vars(first).values(), vars(again).values(), strict=True))
    assert not np.array_equal(first.tokens, other.tokens)


def test_a_models_own_chain_is_judged_in_its_contexts_row() -> None:
    context = lab.make_context(SPOKEN, Split.TRAIN, 3)
    question = lab.make_questions(SPOKEN, context, 1)[0]
    wrong = [*lab.chain(context, question)[:-2], (question.answer + 1) % 13]
    batch = make_batch(SPOKEN, Mix(), 3, 1, 256, {3: [Solution(3, 0, tuple(wrong))]})
    prompt = decode(lab.verify_prompt(context, question, wrong)[len(lab.context_prompt(context)) :])
    assert f"{prompt} {decode(lab.check(context, question, wrong))}" in decode(batch.tokens[0])


def test_weights_come_back_from_disk(tmp_path: Path) -> None:
    model = random_decoder().half().float()
    save_weights(tmp_path, model)
    config, arrays = read_weights(tmp_path)
    assert config == TINY
    assert sum(array.size for array in arrays.values()) == config.parameters
    tokens = lab.encode("<begin> <any> a = 4 ; b = a *7 ;")
    torch.testing.assert_close(logits_of(load_decoder(tmp_path), tokens), logits_of(model, tokens))


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    save_weights(tmp_path, random_decoder())
    config = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(config.replace('"width": 32', '"width": 64'))
    with pytest.raises(InputError, match="another shape"):
        read_weights(tmp_path)
    with pytest.raises(InputError, match="no readable decoder"):
        read_weights(tmp_path / "nowhere")


def test_a_cache_changes_nothing() -> None:
    model = random_decoder()
    tokens = lab.encode("<begin> <any> a = 4 ; b = a *7 ; <question> b <direct>")
    cache, rows = Cache(TINY, 1, len(tokens)), torch.tensor([tokens])
    parts = []
    with torch.no_grad():
        for start, end in ((0, 6), (6, 7), (7, len(tokens))):
            mask = torch.ones(end - start, end, dtype=torch.bool).tril(start)[None]
            parts.append(model(rows[:, start:end], torch.arange(start, end)[None], mask, cache)[0])
    torch.testing.assert_close(torch.cat(parts), logits_of(model, tokens), atol=1e-4, rtol=1e-4)


def test_greedy_text_is_the_likeliest_next_token_each_time() -> None:
    model = random_decoder()
    prompts = [lab.question_prompt(item.context, item.question, "think") for item in asked(SPOKEN, Split.DEV, 3, 2)]
    for prompt, rows in zip(prompts, generate(model, prompts, 6), strict=True):
        tokens = list(prompt)
        for token in rows[0]:
            assert token == int(logits_of(model, tokens)[-1].argmax())
            tokens.append(token)
        assert len(rows[0]) == 6 or rows[0][-1] in lab.STOP_TOKENS


def test_samples_differ_and_come_again_with_their_seed() -> None:
    model = random_decoder()
    prompts = [lab.question_prompt(item.context, item.question, "think") for item in asked(SPOKEN, Split.DEV, 4, 1)]
    first, again = (generate(model, prompts, 8, 1.0, samples=3, seed=4) for _ in range(2))
    assert first == again != generate(model, prompts, 8, 1.0, samples=3, seed=5)
    assert [len(rows) for rows in first] == [3] * 4


def test_log_probabilities_are_sums_over_the_end() -> None:
    model = random_decoder()
    prompts, ends = [lab.encode("<begin> <any> a = 4 ;"), lab.encode("<begin>")], [[3, 4], [5]]
    logs = [logits_of(model, [*prompt, *end]).log_softmax(-1) for prompt, end in zip(prompts, ends, strict=True)]
    wanted = [float(logs[0][5, 3] + logs[0][6, 4]), float(logs[1][0, 5])]
    assert log_probabilities(model, prompts, ends) == pytest.approx(wanted, abs=1e-4)


def test_a_few_steps_teach_something(tmp_path: Path) -> None:
    config = replace(TINY, tied=True)
    training = Training(steps=20, rows=4, length=256, own_questions=4)
    model = train(config, training, tmp_path, log_every=5, save_every=20, compiled=False)
    with (tmp_path / "training-log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [5, 10, 15, 20]
    assert float(rows[-1]["loss think"]) < 0.97 * float(rows[0]["loss think"])
    assert 0 <= float(rows[-1]["think"]) <= 1
    assert read_weights(tmp_path)[0] == model.config


def test_the_table_has_all_its_parts() -> None:
    items = asked(Language.held_out(), Split.DEV, 3, 2)
    tables = model_table(random_decoder(), items)
    assert [len(table.columns) for table in tables] == [6, 4, 4, 6, 6, 12]
    for table in tables:
        assert all(len(row) == len(table.columns) for row in table.rows)
        assert str(table).count("\n") == len(table.rows) + 3
    assert tables[0].rows[0][2] == len(items)


def test_own_solutions_are_kept_in_equal_parts_at_most() -> None:
    kept = own_solutions(random_decoder(), SPOKEN, range(5))
    assert all(solution.context == index for index, (solution,) in kept.items())
