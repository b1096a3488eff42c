"""A headless Chromium, driven over the pipe of its DevTools protocol with nothing but the standard library."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

__all__ = ["Browser", "Page", "chromium"]

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--no-first-run",
    "--no-default-browser-check",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--remote-debugging-pipe",
)
_LOUD = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")


def chromium() -> str | None:
    """The program, where this machine has it."""
    return next((found for name in _NAMES if (found := shutil.which(name))), None)


class Browser:
    """A browser without a window; a context manager, which ends it."""

    def __init__(self, program: str) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="nightshift-browser-", ignore_cleanup_errors=True)
        to_read, self._to = os.pipe()
        self._from, to_write = os.pipe()
        command = [program, *_FLAGS, f"--user-data-dir={self._folder.name}", "about:blank"]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(3, 4),
            preexec_fn=lambda: _as_three_and_four(to_read, to_write),
        )
        os.close(to_read)
        os.close(to_write)
        self._left = b""
        self._last = 0
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *error: object) -> None:
        with suppress(OSError):
            self.ask("Browser.close")
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._to)
        os.close(self._from)
        self._folder.cleanup()

    @contextmanager
    def page(self, file: Path, *, width: int = 1280, height: int = 800, dark: bool = False) -> Iterator[Page]:
        """A file, opened in a tab of that size in CSS pixels, and drawn."""
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session, width, height)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.ask(f"{domain}.enable")
        page.resize(width)
        page.darken(dark)
        page.ask("Page.navigate", url=file.resolve().as_uri())
        page.run("""new Promise((done) => {
            const look = () => document.documentElement?.dataset.drawn ? done(true) : setTimeout(look, 50);
            look();
        })""")
        try:
            yield page
        finally:
            self.ask("Target.closeTarget", targetId=target)

    def ask(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """The result of a command; events that come before it are kept."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": parameters}
        text = json.dumps(message | ({"sessionId": session} if session else {}))
        os.write(self._to, text.encode() + b"\0")
        while True:
            told = self._next()
            if told.get("id") != self._last:
                self.events.append(told)
                continue
            if "error" in told:
                raise RuntimeError(f"{method}: {told['error']}")
            result: dict[str, Any] = told["result"]
            return result

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._left:
            chunk = os.read(self._from, 1 << 20)
            if not chunk:
                raise OSError("the browser has gone")
            self._left += chunk
        text, self._left = self._left.split(b"\0", 1)
        told: dict[str, Any] = json.loads(text)
        return told


class Page:
    """A tab with a page in it."""

    def __init__(self, browser: Browser, session: str, width: int, height: int) -> None:
        self._browser, self._session = browser, session
        self._width, self._height = width, height

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The result of a command to this tab."""
        return self._browser.ask(method, self._session, **parameters)

    def run(self, script: str) -> Any:
        """The value of an expression of JavaScript, awaited."""
        told = self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in told:
            raise RuntimeError(told["exceptionDetails"])
        return told["result"].get("value")

    def resize(self, width: int) -> None:
        """Set the width of the screen; that of a phone makes it one."""
        self._width = width
        size = {"width": width, "height": self._height, "deviceScaleFactor": 1, "mobile": width < 600}
        self.ask("Emulation.setDeviceMetricsOverride", **size)

    def darken(self, dark: bool) -> None:
        """Prefer dark pages, or light ones."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.ask("Emulation.setEmulatedMedia", features=features)

    def settle(self) -> None:
        """Wait until what was changed is drawn."""
        self.run("new Promise((done) => setTimeout(() => requestAnimationFrame(() => done(true)), 300))")

    def complaints(self) -> list[str]:
        """What the console was told."""
        return [json.dumps(event["params"]) for event in self._events(*_LOUD)]

    def requests(self) -> list[str]:
        """What was asked for, besides the page itself and what stands in it."""
        asked = [str(event["params"]["request"]["url"]) for event in self._events("Network.requestWillBeSent")]
        return [url for url in asked if not url.startswith(("file:", "data:", "blob:", "about:"))]

    def files(self) -> list[str]:
        """The files that were read."""
        asked = [str(event["params"]["request"]["url"]) for event in self._events("Network.requestWillBeSent")]
        return [url for url in asked if url.startswith("file:")]

    def picture(self, file: Path, *, whole: bool = True) -> None:
        """A picture of the page as PNG: all of it, or the first screen."""
        if whole:
            height = int(self.run("document.documentElement.scrollHeight"))
            clip = {"x": 0, "y": 0, "width": self._width, "height": height, "scale": 1}
            told = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        else:
            told = self.ask("Page.captureScreenshot", format="png")
        file.write_bytes(base64.b64decode(told["data"]))

    def _events(self, *methods: str) -> list[dict[str, Any]]:
        mine = [event for event in self._browser.events if event.get("sessionId") == self._session]
        return [event for event in mine if event["method"] in methods]


def _as_three_and_four(to_read: int, to_write: int) -> None:
    """In the child: the ends of the pipes where Chromium looks for them."""
    low, high = os.dup(to_read), os.dup(to_write)
    while min(low, high) < 5:
        low, high = os.dup(low), os.dup(high)
    os.dup2(low, 3)
    os.dup2(high, 4)
