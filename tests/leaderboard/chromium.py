"""Headless Chromium driven over its debugging pipe: no driver, no port, no further package."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)
PATIENCE = 60.0


def find_chromium() -> str:
    """The browser's program. Where there is none the test is skipped, or fails if BENCH_TEST_BROWSER is `required`."""
    found = next((path for path in map(shutil.which, NAMES) if path), None)
    if found is None:
        mend = "no Chromium on the PATH (Debian: apt-get install chromium)"
        assert os.environ.get("BENCH_TEST_BROWSER") != "required", mend
        pytest.skip(f"the HTML board was not opened in a browser (tests/leaderboard/test_page.py): {mend}")
    return found


class Browser:
    """One page of a running Chromium: `open`, `evaluate`, and every message that it sent."""

    def __init__(self, to: int, source: int) -> None:
        self._to, self._source, self._rest = to, source, b""
        self._number = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the DevTools protocol; its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._read()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def _read(self) -> dict[str, Any]:
        end = time.monotonic() + PATIENCE
        while b"\0" not in self._rest:
            assert time.monotonic() < end, "Chromium does not answer"
            with contextlib.suppress(BlockingIOError):
                part = os.read(self._source, 1 << 16)
                assert part, "Chromium ended"
                self._rest += part
                continue
            time.sleep(0.01)
        message, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def open(self, url: str) -> None:
        """Load a page and wait for its load event."""
        self.events.clear()
        self.call("Page.navigate", url=url)
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._read())

    def evaluate(self, expression: str) -> Any:
        """The JSON value of a JavaScript expression in the page."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def close(self) -> None:
        """End the browser with all its processes."""
        self._session = None
        self.call("Browser.close")

    def named(self, method: str) -> list[dict[str, Any]]:
        """Parameters of the events of one name since the page was opened."""
        return [event["params"] for event in self.events if event.get("method") == method]


@contextlib.contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """A browser with an empty profile and a proxy that nobody answers, so that no request can leave."""
    ends = [fcntl.fcntl(fd, fcntl.F_DUPFD, 10) for pair in (os.pipe(), os.pipe()) for fd in pair]
    from_us, to, source, from_it = ends
    os.set_blocking(source, False)
    program = f'exec "$0" "$@" 3<&{from_us} 4>&{from_it}'
    words = [*FLAGS, f"--user-data-dir={profile}", "--proxy-server=http://127.0.0.1:9", "about:blank"]
    process = subprocess.Popen(
        ["bash", "-c", program, find_chromium(), *words],
        pass_fds=(from_us, from_it),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"HOME": str(profile)},
    )
    os.close(from_us)
    os.close(from_it)
    try:
        browser = Browser(to, source)
        yield browser
        browser.close()
        process.wait(PATIENCE)
    finally:
        os.close(to)
        os.close(source)
        if process.poll() is None:
            process.kill()
            process.wait()
