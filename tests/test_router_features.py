"""Features: the same text gives the same numbers in any batch, and what they count is what stands there."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from router.errors import RouterError
from router.features import FEATURE_VERSION, Features, FeatureSpec
from router.features.statistics import STATISTICS

ASKED = "Which of these is NOT a mammal?\nA. whale\nB. bat and dog\nC. 12 dogs\nAnswer:"


def statistics_of(text: str) -> dict[str, float]:
    found = Features(FeatureSpec()).of([text])[0]
    return dict(zip(STATISTICS, found.tolist(), strict=True))


def test_statistics_count_what_stands_in_the_text() -> None:
    found = statistics_of(ASKED)
    logs = {
        "bytes": len(ASKED),
        "question_bytes": len("Which of these is NOT a mammal?\n"),
        "words": 7 + 1 + 1 + 1 + 3 + 1 + 2 + 1,
        "longest_word": len("mammal"),
        "numbers": 1,
        "question_numbers": 0,
        "loud_words": 1,
        "negations": 1,
        "asking": 1,
        "questions": 1,
        "lines": 4,
        "digit_count": 2,
    }
    assert {name: found[name] for name in logs} == pytest.approx({name: math.log1p(n) for name, n in logs.items()})
    assert found["options"] == 3
    assert found["option_shortest"] == pytest.approx(math.log1p(len("whale")))
    assert found["option_longest"] == pytest.approx(math.log1p(len("12 dogs\nAnswer:")))
    assert found["digits_a_number"] == 2
    assert found["beyond_ascii"] == 0.0


def test_a_text_without_options_is_a_question_as_a_whole() -> None:
    found = statistics_of("How much is 3 and 4?")
    assert found["bytes"] == found["question_bytes"]
    assert [found[name] for name in STATISTICS if "option" in name] == [0.0] * 9


def test_options_that_repeat_words_are_seen() -> None:
    alike = statistics_of("Q\nA. the red cat\nB. the red dog")
    apart = statistics_of("Q\nA. one red cat\nB. two blue dogs")
    assert alike["options_repeated"] > 0.2
    assert apart["options_repeated"] == 0.0
    assert statistics_of("the red cat?\nA. the red cat")["options_in_question"] == pytest.approx(3 / 4)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=60), min_size=1, max_size=12), st.integers(0, 11))
def test_a_text_has_its_features_alone_as_in_company(texts: list[str], place: int) -> None:
    features = Features(FeatureSpec(hashed=64, word_ngrams=(1, 2), char_ngrams=(3,)))
    whole = features.of(texts)
    place %= len(texts)
    assert np.isfinite(whole).all()
    np.testing.assert_array_equal(whole[place], features.of([texts[place]])[0])


def test_more_texts_than_fit_into_a_piece_come_out_in_order() -> None:
    features = Features(FeatureSpec(hashed=32))
    texts = [f"{'word ' * (number % 40)}{number}" for number in range(700)] + ["x" * 300_000]
    whole = features.of(texts)
    for place in (0, 255, 256, 511, 699, 700):
        np.testing.assert_array_equal(whole[place], features.of([texts[place]])[0])


def test_hashed_ngrams_know_words_in_any_case_and_their_order_in_pairs() -> None:
    words = Features(FeatureSpec(text=True, hashed=4096, word_ngrams=(1,), char_ngrams=()))
    pairs = Features(FeatureSpec(text=True, hashed=4096, word_ngrams=(2,), char_ngrams=()))
    texts = ["red cat", "Cat RED", "red dog"]
    single, double = (made.of(texts)[:, len(STATISTICS) :] for made in (words, pairs))
    np.testing.assert_array_equal(single[0], single[1])
    assert single[0] @ single[2] == pytest.approx(0.5)
    assert double[0] @ double[1] == 0.0
    np.testing.assert_allclose(np.linalg.norm(single, axis=1), 1.0, rtol=1e-6)


def test_features_of_this_version_stay_what_they_are() -> None:
    """A change here makes every trained router wrong: raise FEATURE_VERSION with it."""
    features = Features(FeatureSpec(("size",), hashed=16)).of([ASKED], {"size": [2.5]})[0].astype(np.float64)
    weights = np.cos(np.arange(len(features)))
    assert (FEATURE_VERSION, features.shape) == ("1", (1 + len(STATISTICS) + 16,))
    assert features[0] == 2.5
    assert float(features @ weights) == pytest.approx(PINNED, abs=1e-5)


PINNED = 1.4463167433503468


def test_a_spec_survives_its_document() -> None:
    spec = FeatureSpec(("a", "b"), hashed=128, word_ngrams=(1, 2), char_ngrams=(4,))
    document = json.loads(json.dumps(spec.document()))
    assert FeatureSpec.of_document(document) == spec
    assert document["names"] == [*spec.names]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"version": "0"}, "no feature version"),
        ({"names": ["a"]}, "not the features of this version"),
        ({"hashed": 100}, "power of two"),
        ({"hashed": "many"}, "describes no features"),
        ({"ngrams": {"words": [9], "chars": []}}, "from 1 to 6"),
        ({"numbers": ["a", "a"]}, "named twice"),
    ],
)
def test_a_document_that_describes_no_features_is_refused(change: dict[str, object], said: str) -> None:
    document = {**FeatureSpec(("a",), hashed=64).document(), **change}
    with pytest.raises(RouterError, match=said):
        FeatureSpec.of_document(document)


@pytest.mark.parametrize(
    ("texts", "numbers", "said"),
    [
        (None, {"a": [1.0]}, "have no texts"),
        (["x"], {}, "a is a feature that the requests lack"),
        (["x"], {"a": [1.0, 2.0]}, "unequal numbers"),
        (["x"], {"a": [float("nan")]}, "nan must be a finite number"),
        (["x"], {"a": [1e300]}, "must be a finite number"),
        (["x"], {"a": ["many"]}, "no column of numbers"),
        (["x"], {"a": [[1.0]]}, "is no column"),
    ],
)
def test_requests_that_lack_a_feature_are_refused(
    texts: list[str] | None, numbers: dict[str, object], said: str
) -> None:
    with pytest.raises(RouterError, match=said):
        Features(FeatureSpec(("a",), hashed=16)).of(texts, numbers)  # type: ignore[arg-type]
