"""Fetching public traces: from a local server that can cut, refuse, lie and forget how to resume."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from sim.errors import InputError
from sim.scenario import TraceArrivals
from sim.workload.fetch import fetch, fetch_trace, fetched_path, resolve_trace, trace_format
from sim.workload.registry import PublicTrace, load_registry, public_trace

CONTENT = b"arrival_s,prompt_tokens,output_tokens\n" + b"".join(b"%d,10,20\n" % row for row in range(40_000))


@dataclass
class Site:
    """What the server does, and what it was asked."""

    content: bytes = CONTENT
    cuts: list[int] = field(default_factory=list)
    """Bytes after which each of the next answers breaks off."""
    ranges: bool = True
    tells_length: bool = True
    status: int = 200
    asked: list[str | None] = field(default_factory=list)
    """The Range header of each request."""
    url: str = ""

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        asked = handler.headers.get("Range")
        self.asked.append(asked)
        if self.status != 200:
            handler.send_error(self.status)
            return
        begin = int(re.fullmatch(r"bytes=(\d+)-", asked)[1]) if asked and self.ranges else 0
        if begin and begin >= len(self.content):
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(self.content)}")
            handler.end_headers()
            return
        self._send(handler, begin)

    def _send(self, handler: BaseHTTPRequestHandler, begin: int) -> None:
        body = self.content[begin:]
        handler.send_response(206 if begin else 200)
        if begin:
            handler.send_header("Content-Range", f"bytes {begin}-{len(self.content) - 1}/{len(self.content)}")
        if self.tells_length:
            handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body[: self.cuts.pop(0)] if self.cuts else body)


@pytest.fixture
def site() -> Iterator[Site]:
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.answer(self)

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    site.url = f"http://127.0.0.1:{server.server_port}/data/trace.csv"
    yield site
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NIGHTSHIFT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "traces"


@pytest.fixture
def trace(site: Site) -> PublicTrace:
    return PublicTrace(
        name="sample",
        url=site.url,
        size_bytes=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
        format="nightshift",
        licence="CC0",
        citation="nobody",
        source="this test",
    )


def unverified(trace: PublicTrace) -> PublicTrace:
    return replace(trace, size_bytes=None, sha256=None)


def leave_part(cache: Path, content: bytes) -> Path:
    cache.mkdir(parents=True)
    part = cache / "sample.csv.part"
    part.write_bytes(content)
    return part


def test_a_trace_is_downloaded_verified_and_kept(site: Site, trace: PublicTrace, cache: Path):
    told: list[tuple[int, int | None]] = []
    path = fetch(trace, progress=lambda held, whole: told.append((held, whole)))
    assert path == cache / "sample.csv"
    assert path.read_bytes() == CONTENT
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert list(cache.iterdir()) == [path]


def test_what_is_there_is_not_downloaded_again(site: Site, trace: PublicTrace):
    assert fetch(trace) == fetch(trace)
    assert site.asked == [None]


def test_a_damaged_file_is_downloaded_again(site: Site, trace: PublicTrace):
    path = fetch(trace)
    path.write_bytes(b"x" * len(CONTENT))
    assert fetch(trace).read_bytes() == CONTENT


def test_a_cut_connection_is_taken_up_where_it_broke(site: Site, trace: PublicTrace):
    site.cuts = [100_000, 50_000]
    assert fetch(trace).read_bytes() == CONTENT
    assert site.asked == [None, "bytes=100000-", "bytes=150000-"]


@pytest.mark.parametrize("known", [True, False], ids=["known size", "unknown size"])
def test_the_part_of_an_earlier_run_is_gone_on_from(site: Site, trace: PublicTrace, cache: Path, known: bool):
    leave_part(cache, CONTENT[:123_456])
    wanted = trace if known else unverified(trace)
    assert fetch(wanted, accept_unverified=not known).read_bytes() == CONTENT
    assert site.asked == ["bytes=123456-"]


def test_a_whole_part_needs_no_more_bytes(site: Site, trace: PublicTrace, cache: Path):
    leave_part(cache, CONTENT)
    assert fetch(trace).read_bytes() == CONTENT
    assert site.asked == []


def test_a_whole_part_of_unknown_size_is_recognised(site: Site, trace: PublicTrace, cache: Path):
    leave_part(cache, CONTENT)
    assert fetch(unverified(trace), accept_unverified=True).read_bytes() == CONTENT
    assert site.asked == [f"bytes={len(CONTENT)}-"]


@pytest.mark.parametrize("known", [True, False], ids=["known size", "unknown size"])
def test_a_part_that_is_too_long_starts_again(site: Site, trace: PublicTrace, cache: Path, known: bool):
    leave_part(cache, CONTENT + b"more")
    wanted = trace if known else unverified(trace)
    assert fetch(wanted, accept_unverified=not known).read_bytes() == CONTENT


def test_a_corrupted_part_starts_again(site: Site, trace: PublicTrace, cache: Path):
    leave_part(cache, b"x" * 1000)
    assert fetch(trace).read_bytes() == CONTENT
    assert site.asked == ["bytes=1000-", None]


def test_a_server_that_cannot_send_a_part_starts_again(site: Site, trace: PublicTrace, cache: Path):
    site.ranges = False
    leave_part(cache, CONTENT[:1000])
    assert fetch(trace).read_bytes() == CONTENT


def test_a_server_that_tells_no_length_is_checked_by_the_registry(site: Site, trace: PublicTrace):
    site.tells_length, site.cuts = False, [1000]
    assert fetch(trace).read_bytes() == CONTENT
    assert site.asked == [None, "bytes=1000-"]


def test_a_server_that_keeps_breaking_off_is_given_up_and_the_part_kept(site: Site, trace: PublicTrace, cache: Path):
    site.cuts = [1000, 0, 0, 0]
    with pytest.raises(InputError, match=rf"broke off after 1000 of {len(CONTENT)} bytes; run it again"):
        fetch(trace)
    assert (cache / "sample.csv.part").stat().st_size == 1000
    assert fetch(trace).read_bytes() == CONTENT


@pytest.mark.parametrize(("status", "reason"), [(404, "404 Not Found"), (503, "503 Service Unavailable")])
def test_a_refusal_is_told(site: Site, trace: PublicTrace, cache: Path, status: int, reason: str):
    site.status = status
    with pytest.raises(InputError, match=rf"trace\.csv answered {reason}; check the network"):
        fetch(trace)
    assert list(cache.iterdir()) == []


def test_an_unreachable_server_is_told(trace: PublicTrace):
    with pytest.raises(InputError, match=r"cannot be reached \(.*refused\)"):
        fetch(replace(trace, url="http://127.0.0.1:9/trace.csv"))


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (CONTENT[::-1], "has SHA-256"),
        (CONTENT + b"1", f"has {len(CONTENT) + 1} bytes"),
        (CONTENT[:-1], f"has {len(CONTENT) - 1} bytes"),
    ],
    ids=["other bytes", "more bytes", "fewer bytes"],
)
def test_another_file_than_expected_is_refused(site: Site, trace: PublicTrace, cache: Path, content, wrong: str):
    site.content = content
    with pytest.raises(InputError, match=rf"trace\.csv {wrong}"):
        fetch(trace)
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_made_is_told(trace: PublicTrace, cache: Path):
    cache.parent.parent.mkdir(exist_ok=True)
    cache.parent.write_text("a file in the way")
    with pytest.raises(InputError, match=r"cannot be made .*; set NIGHTSHIFT_CACHE"):
        fetch(trace)


# Traces whose hash nobody has verified


def test_an_unverified_trace_needs_a_word(site: Site, trace: PublicTrace):
    with pytest.raises(InputError, match=r"no SHA-256 in the registry.*--sha256 HASH.*--accept-unverified"):
        fetch(unverified(trace))
    assert site.asked == []


def test_a_given_hash_verifies_it(trace: PublicTrace):
    digest = hashlib.sha256(CONTENT).hexdigest().upper()
    assert fetch(unverified(trace), sha256=digest).read_bytes() == CONTENT


def test_a_wrong_given_hash_refuses_it(trace: PublicTrace, cache: Path):
    with pytest.raises(InputError, match=r"has SHA-256 .* instead of 00"):
        fetch(unverified(trace), sha256="00" * 32)
    assert list(cache.iterdir()) == []


def test_a_given_hash_may_not_contradict_the_registry(site: Site, trace: PublicTrace):
    with pytest.raises(InputError, match="is not the SHA-256 of sample"):
        fetch(trace, sha256="00" * 32)


def test_an_unverified_trace_can_be_accepted(trace: PublicTrace):
    assert fetch(unverified(trace), accept_unverified=True).read_bytes() == CONTENT


# The registry, and the file a scenario means


def test_the_registry_is_sound():
    registry = load_registry()
    assert set(registry) >= {
        "azure-llm-2023-conversation",
        "azure-llm-2023-code",
        "mooncake-conversation",
        "mooncake-toolagent",
        "mooncake-synthetic",
        "burstgpt-1",
    }
    for trace in registry.values():
        assert trace.url.startswith("https://")
        assert trace.format in ("azure", "mooncake", "burstgpt", "nightshift")
        assert (trace.sha256 is None) == (trace.size_bytes is None)
        assert trace.sha256 is None or re.fullmatch("[0-9a-f]{64}", trace.sha256)
        assert all((trace.licence, trace.citation, trace.source))


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("azure-llm-2023-conversation", "azure-llm-2023-conv.csv.gz"),
        ("mooncake-synthetic", "mooncake-synthetic.jsonl.gz"),
    ],
)
def test_the_registry_agrees_with_copies_at_hand(shared: Path, name: str, file: str):
    import gzip

    content = gzip.decompress((shared / "traces" / file).read_bytes())
    trace = public_trace(name)
    assert (trace.size_bytes, trace.sha256) == (len(content), hashlib.sha256(content).hexdigest())


def test_an_unknown_trace_is_told_with_the_nearest():
    with pytest.raises(InputError, match="did you mean 'mooncake-synthetic'"):
        fetch_trace("mooncake-syntetic")


def test_a_scenario_may_name_a_trace_that_is_in_the_cache(cache: Path):
    arrivals = TraceArrivals(name="burstgpt-1")
    with pytest.raises(InputError, match="has not been fetched; run `nightshift trace fetch burstgpt-1`"):
        resolve_trace(arrivals)
    path = fetched_path(public_trace("burstgpt-1"))
    path.parent.mkdir(parents=True)
    path.write_text("here")
    assert (resolve_trace(arrivals), trace_format(arrivals)) == (cache / "burstgpt-1.csv", "burstgpt")


def test_a_path_goes_before_a_name(tmp_path: Path):
    arrivals = TraceArrivals(name="burstgpt-1", path=tmp_path / "mine.csv")
    assert (resolve_trace(arrivals), trace_format(arrivals)) == (tmp_path / "mine.csv", "burstgpt")
