"""Outcomes measured: thousands of held-out questions, answered in every way by a real model, as one table.

The table has a row for each question, strategy and, on prepared contexts, effort. Its columns `question`, `context`,
`strategy`, `prepared`, `effort`, `correct` and `tokens` are what `questions: {kind: table}` reads; the others say what
was known of a question before and after.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.errors import InputError
from sim.lab.language import MAX_POSITIONS
from sim.lab.language.contexts import Context, Language, Question, Split, make_context, make_questions
from sim.lab.outcomes.answering import Answered, Ways, answer_context
from sim.lab.outcomes.completions import Completions, TextDecoder, Work
from sim.lab.outcomes.features import FEATURES, text_features

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "METADATA", "Exam", "decoder_size", "measure_outcomes"]

COLUMNS = (
    *("question", "context", "strategy", "prepared", "effort", "correct", "tokens"),
    *("temperature", "trial", "answer", "path_tokens", "prompt_tokens", "notes_tokens"),
    *("predictable", "steps", "question_logprob", "question_logprob_noted", "question_words"),
    *FEATURES,
    *("confidence", "agreement", "verifier_auc"),
)
"""Columns of a table of outcomes, in order."""
METADATA = b"nightshift"
"""Key of what a file says of itself, as JSON: the exam, and where it was measured."""

_WHOLE = ("question", "context", "prepared", "correct", "tokens", "trial", "answer", "path_tokens", "prompt_tokens")
_TEXTS = ("strategy", "effort")
_DIGITS = 4
_SLOTS_PER_ROW = 4
"""Slots of a decoder for each row that it writes: the others keep what texts have in common."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Exam:
    """What is asked, and how it is answered."""

    questions: int = 5000
    """At least so many: contexts are asked all of their questions."""
    per_context: int = 4
    seed: int = 0
    """Names all random draws of the answers; questions hang on the language alone."""
    split: Split = Split.TEST
    first_context: int = 0
    language: Language = field(default_factory=Language.held_out)
    ways: Ways = field(default_factory=Ways)

    @property
    def contexts(self) -> range:
        """Numbers of the contexts."""
        return range(self.first_context, self.first_context - (-self.questions // self.per_context))

    @classmethod
    def of_file(cls, path: Path) -> Exam:
        """The exam that a table of outcomes was measured with.

        Raises:
            InputError: for a file that does not say it.
        """
        import pyarrow.parquet as pq

        try:
            told = json.loads((pq.read_schema(path).metadata or {})[METADATA])["exam"]
        except (OSError, KeyError, ValueError):
            rule = "does not say which questions it holds"
            raise InputError(path, rule, "give a table that 'nightshift measure' has made") from None
        ways: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in told["ways"].items()
        }
        language = Language(**told["language"])
        return cls(**told | {"split": Split(told["split"]), "language": language, "ways": Ways(**ways)})

    def asked(self, question: int) -> tuple[Context, Question]:
        """A question of the table by its number, and its context."""
        number, place = divmod(question, self.per_context)
        context, questions = self.context(number)
        return context, questions[place]

    def context(self, number: int) -> tuple[Context, list[Question]]:
        """A context and its questions."""
        return _asked(self.language, self.split, number, self.per_context)


@lru_cache(maxsize=8192)
def _asked(language: Language, split: Split, number: int, questions: int) -> tuple[Context, list[Question]]:
    context = make_context(language, split, number)
    return context, make_questions(language, context, questions)


def decoder_size(width: int) -> tuple[int, int]:
    """Slots and capacity of a decoder that writes `width` texts at a time, for `measure_outcomes`."""
    return width * _SLOTS_PER_ROW, MAX_POSITIONS


def measure_outcomes(
    decoder: TextDecoder,
    out: Path,
    *,
    questions: int = 5000,
    seed: int = 0,
    width: int = 64,
    exam: Exam | None = None,
    provenance: Mapping[str, Any] | None = None,
    contexts_per_part: int = 50,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Answers questions in every way, `width` texts at a time, and writes the table of outcomes to `out` (Parquet).

    A run that was cut off goes on where it was: finished parts lie in a folder beside `out` until the whole table is
    there. `exam` says more of what is asked than `questions` and `seed`, and replaces them. `provenance` is kept in the
    file. `progress` is told the contexts that are done, of how many. Gives back counts of what was done in this run.

    Raises:
        InputError: where the parts beside `out` are of another exam or model, or `out` cannot be written.
    """
    exam = exam or Exam(questions=questions, seed=seed)
    parts = _Parts(out, exam, provenance or {}, contexts_per_part)
    writer = Completions(decoder, width)
    done = 0
    for place, contexts in enumerate(parts.contexts):
        if not parts.has(place):
            parts.write(place, _answered(writer, exam, contexts))
        done += len(contexts)
        if progress is not None:
            progress(done, len(exam.contexts))
    rows = parts.unite()
    told = {"written_tokens": writer.written_tokens, "read_tokens": writer.kept.read_tokens, "steps": writer.steps}
    return {"file": str(out), "questions": len(exam.contexts) * exam.per_context, "rows": rows, **told}


def _answered(writer: Completions, exam: Exam, contexts: Sequence[int]) -> pd.DataFrame:
    """The rows of some contexts, in their order."""
    import pandas as pd

    asked = [exam.context(number) for number in contexts]
    works: list[Work[Answered]] = [answer_context(*each, exam.ways, (exam.seed,)) for each in asked]
    found = dict(writer.run(works))
    return pd.concat([outcome_rows(*each, found[place]) for place, each in enumerate(asked)], ignore_index=True)


def outcome_rows(context: Context, questions: Sequence[Question], answered: Answered) -> pd.DataFrame:
    """Rows of a context, question by question."""
    import pandas as pd

    rows = pd.DataFrame(answered.outcomes).rename(columns={"question": "place"})
    asked = pd.DataFrame(list(_question_columns(context, questions)))
    scores = pd.DataFrame(answered.scores).rename(columns={"question": "place", "words": "question_words"})
    bare = scores[scores["effort"] == ""].drop(columns="effort").rename(columns={"logprob": "question_logprob"})
    noted = scores.drop(columns="question_words").rename(columns={"logprob": "question_logprob_noted"})
    noted = noted[noted["effort"] != ""]
    rows = rows.merge(asked, on="place").merge(bare, on="place").merge(noted, on=["place", "effort"], how="left")
    rows["prepared"] = rows["effort"] != ""
    rows["notes_tokens"] = rows["effort"].map(answered.notes_tokens).fillna(0.0)
    return _typed(rows.sort_values("place", kind="stable")[list(COLUMNS)])


def _question_columns(context: Context, questions: Sequence[Question]) -> Iterator[dict[str, Any]]:
    for place, question in enumerate(questions):
        numbers = {"question": context.index * len(questions) + place, "context": context.index, "place": place}
        truth = {"predictable": question.predictable, "steps": question.steps}
        yield {**numbers, **truth, **text_features(context, question)}


def _typed(rows: pd.DataFrame) -> pd.DataFrame:
    """Small types; shares and logarithms rounded, so that they compress."""
    kinds = {name: "float32" for name in rows.columns if name not in _TEXTS}
    kinds |= dict.fromkeys((*_WHOLE, "steps", "question_words"), "int32") | dict.fromkeys(_TEXTS, "string")
    kinds["predictable"] = "int32"
    rounded = rows.round({name: _DIGITS for name, kind in kinds.items() if kind == "float32"})
    return rounded.astype(kinds)


class _Parts:
    """Parts of a table beside it, one file for some contexts each, until all are there."""

    def __init__(self, out: Path, exam: Exam, provenance: Mapping[str, Any], contexts_per_part: int) -> None:
        self.out = out
        self.folder = out.with_name(f"{out.name}.parts")
        numbers = exam.contexts
        self.contexts = [
            numbers[first : first + contexts_per_part] for first in range(0, len(numbers), contexts_per_part)
        ]
        self.told = {"exam": asdict(exam), **provenance}
        self._check({"exam": asdict(exam), "contexts_per_part": contexts_per_part, "model": provenance.get("model")})

    def _check(self, told: Mapping[str, Any]) -> None:
        """The folder is new, or of the same exam."""
        mark, text = self.folder / "exam.json", json.dumps(told, indent=1, sort_keys=True)
        if mark.exists():
            if mark.read_text(encoding="utf-8") != text:
                remedy = "delete it, or write to another file"
                raise InputError(self.folder, "holds parts of another exam or model", remedy)
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            mark.write_text(text, encoding="utf-8")
        except OSError as error:
            rule = f"cannot be written: {error.strerror}"
            raise InputError(self.folder, rule, "give a place that you may write to") from None

    def _file(self, place: int) -> Path:
        return self.folder / f"part-{place:05d}.parquet"

    def has(self, place: int) -> bool:
        """Whether a part is finished."""
        return self._file(place).exists()

    def write(self, place: int, rows: pd.DataFrame) -> None:
        """Keep a part."""
        _write_table(rows, self._file(place), {})

    def unite(self) -> int:
        """Make the table of all parts, and remove them; gives back its number of rows."""
        import pandas as pd

        rows = pd.concat([pd.read_parquet(self._file(place)) for place in range(len(self.contexts))], ignore_index=True)
        _write_table(rows, self.out, self.told)
        shutil.rmtree(self.folder)
        return len(rows)


def _write_table(rows: pd.DataFrame, file: Path, told: Mapping[str, Any]) -> None:
    """Aside and then in its place."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    aside = file.with_name(f".{file.name}.{os.getpid()}")
    table = pa.Table.from_pandas(rows, preserve_index=False)
    table = table.replace_schema_metadata({METADATA: json.dumps(told, sort_keys=True)})
    try:
        pq.write_table(table, aside, compression="zstd", compression_level=19, use_dictionary=True)
        os.replace(aside, file)
    finally:
        aside.unlink(missing_ok=True)
