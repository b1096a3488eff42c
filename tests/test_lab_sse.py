"""Server-sent events: the same whatever the pieces in which they come."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.lab.client.answer import Answer, Ended
from sim.lab.client.sse import Event, EventStream

STREAM = (
    b": ping\r\n\r\n"
    b'data: {"text": "na\xc3\xafve \xe2\x82\xac"}\n\n'
    b"event: error\rdata: first\rdata:second\r\r"
    b"id: 7\r\nretry: 10\r\n\r\n"
    b"data\n\n"
    b"data: [DONE]\r\n\r\n"
)
EVENTS = [
    Event("", '{"text": "naïve €"}'),
    Event("error", "first\nsecond"),
    Event("", ""),
    Event("", "[DONE]"),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_events_do_not_depend_on_how_the_bytes_are_cut(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    stream = EventStream()
    found = [event for a, b in pairwise(places) for event in stream.feed(STREAM[a:b])]
    assert found == EVENTS
    assert stream.close() == []


def test_byte_by_byte() -> None:
    stream = EventStream()
    assert [event for byte in STREAM for event in stream.feed(bytes([byte]))] == EVENTS


def test_the_last_event_may_lack_its_blank_line() -> None:
    stream = EventStream()
    assert stream.feed(b"data: [DONE]") == []
    assert stream.close() == [Event("", "[DONE]")]


def taken(*data: str) -> Answer:
    answer = Answer()
    for second, text in enumerate(data):
        answer.take(Event("", text), float(second))
    return answer


def test_an_answer_counts_pieces_with_text_and_takes_the_servers_own_count() -> None:
    answer = taken(
        '{"choices": [{"delta": {"role": "assistant", "content": ""}}]}',
        '{"choices": [{"delta": {"reasoning_content": "hm"}}]}',
        '{"choices": [{"delta": {"content": "yes"}, "finish_reason": "stop"}]}',
        '{"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 3}}',
        "[DONE]",
    )
    answer.finish()
    assert list(answer.pieces_s) == [1.0, 2.0]
    assert (answer.prompt_tokens, answer.output_tokens, answer.cached_tokens) == (9, 3, None)


def test_tokens_without_text_yet_count_but_begin_no_answer() -> None:
    answer = taken(
        '{"choices": [{"text": "", "finish_reason": null}]}',
        '{"choices": [{"text": "€", "finish_reason": null}]}',
        '{"choices": [{"text": "", "finish_reason": "length"}]}',
    )
    assert (list(answer.pieces_s), answer.pieces) == ([1.0], 2)


def test_events_without_blank_lines_between_them_are_told_apart() -> None:
    answer = taken('{"choices": [{"text": "a"}]}\n{"choices": [{"text": "b", "finish_reason": "length"}]}\n[DONE]')
    assert len(answer.pieces_s) == 2


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('{"error": {"message": "no memory"}}', "server_error"),
        ('{"error": "no memory"}', "server_error"),
        ('{"choices": [{"te', "broken_stream"),
        ("[1, 2]", "broken_stream"),
    ],
)
def test_what_is_no_answer_ends_it(text: str, kind: str) -> None:
    with pytest.raises(Ended) as raised:
        taken(text)
    assert raised.value.kind == kind


def test_a_stream_that_stops_in_the_middle_is_broken() -> None:
    with pytest.raises(Ended, match="broken_stream"):
        taken('{"choices": [{"text": "a"}]}').finish()
