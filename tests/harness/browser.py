"""Real Chromium, headless: what a person would see, and what the pages say to the console."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser as Chromium
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, sync_playwright
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from tests.harness import pictures
from tests.harness.waiting import Patience

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--autoplay-policy=no-user-gesture-required",
    "--use-fake-device-for-media-stream",
]
PATIENCE = 20.0  # seconds for anything a page does; two cores decode, encode and draw at once
POLLING = 100  # milliseconds between two looks at a page

# The peer connection of our own page, or the one a bare page keeps in `pc`.
_PC = "(window.edgecam?.pc ?? window.pc)"
_INBOUND = f"""
async () => {{
  const pc = {_PC};
  if (!pc) return null;
  for (const entry of (await pc.getStats()).values())
    if (entry.type === 'inbound-rtp' && entry.kind === 'video') return {{...entry}};
  return null;
}}
"""
# Playwright's own waiting cannot await what it asks for, and statistics come as a promise.
_WAIT_FRAMES = f"""
async ([before, ssrc, more, within]) => {{
  const deadline = performance.now() + within;
  while (performance.now() < deadline) {{
    const stats = await ({_INBOUND})();
    const base = stats?.ssrc === ssrc ? before : 0;
    if (stats && stats.framesDecoded >= base + more) return stats.framesDecoded;
    await new Promise((resolve) => setTimeout(resolve, {POLLING}));
  }}
  return null;
}}
"""
# Written for the tests and not taken from the page, so that both have to agree about media-plane's clock strip.
_STRIP = """
() => {
  const video = document.querySelector('video');
  const q = Math.floor(video.videoWidth / 40);
  if (q < 2) return null;
  const canvas = document.createElement('canvas');
  const width = (canvas.width = 32 * q);
  const height = (canvas.height = 2 * q);
  const context = canvas.getContext('2d', { willReadFrequently: true });
  context.drawImage(video, 0, 0, width, height, 0, 0, width, height);
  const now = Date.now();
  const rgba = context.getImageData(0, 0, width, height).data;
  const luma = (column, row) => rgba[(Math.floor((row + 0.5) * q) * width + Math.floor((column + 0.5) * q)) * 4 + 1];
  let clock = 0;
  for (let bit = 0; bit < 32; bit += 1) {
    const upper = luma(bit, 0), lower = luma(bit, 1);
    if (Math.abs(upper - lower) < 64) return null;
    clock = clock * 2 + (upper > lower ? 1 : 0);
  }
  const age = ((now - clock) % 2 ** 32 + 2 ** 32) % 2 ** 32;
  return {clock, age: age >= 2 ** 31 ? age - 2 ** 32 : age};
}
"""


class Visit:
    """A page that somebody looks at, in a browser profile of its own."""

    def __init__(self, page: Page, tolerates: Sequence[str] = ()) -> None:
        self.page = page
        self.complaints: list[str] = []
        self._tolerates = [re.compile(pattern) for pattern in tolerates]
        page.set_default_timeout(PATIENCE * 1000)
        page.on("console", self._on_console)
        page.on("pageerror", lambda error: self._complain(f"uncaught: {error}"))
        page.on("crash", lambda _page: self._complain("the page crashed"))

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} or "Content Security Policy" in message.text:
            self._complain(f"{message.type}: {message.text} ({message.location.get('url', '')})")

    def _complain(self, text: str) -> None:
        if not any(pattern.search(text) for pattern in self._tolerates):
            self.complaints.append(text)

    # frames

    def inbound(self) -> dict[str, Any] | None:
        """The browser's statistics about the video it receives, None before there is any."""
        found = self.page.evaluate(_INBOUND)
        assert found is None or isinstance(found, dict)
        return found

    @property
    def frames_decoded(self) -> int:
        return int((self.inbound() or {}).get("framesDecoded", 0))

    def wait_frames(self, more: int = 10, within: float = PATIENCE) -> int:
        """Until `more` further frames have been decoded on whatever peer connection there is then; the total."""
        # A new peer connection counts from nothing: then every frame of it is a further one.
        now = self.inbound() or {}
        before, ssrc = now.get("framesDecoded", 0), now.get("ssrc")
        patience, total = Patience(within), None
        while not total:
            total = self.page.evaluate(_WAIT_FRAMES, [before, ssrc, more, within * 1000])
            if patience.ended:
                break
        assert total, f"not {more} more frames within {within:g} s; now: {self.inbound()}"
        return int(total)

    def wait_for(self, expression: str, within: float = PATIENCE) -> Any:
        """Until the JavaScript expression is truthy; its value."""
        patience = Patience(within)
        while True:
            try:
                handle = self.page.wait_for_function(f"() => ({expression})", polling=POLLING, timeout=within * 1000)
            except PlaywrightTimeout:
                if patience.ended:
                    raise
            else:
                return handle.json_value()

    def wait_playing(self, within: float = PATIENCE) -> None:
        """Until our viewer page says that it plays and frames have been decoded."""
        self.wait_for("window.edgecam && window.edgecam.state === 'playing'", within)
        self.wait_frames(5, within)

    def crash(self) -> None:
        """Have the page's process die without a word to anybody."""
        session = self.page.context.new_cdp_session(self.page)
        with self.page.expect_event("crash"), contextlib.suppress(PlaywrightError):
            session.send("Page.crash", timeout=500)  # nobody is left to answer

    @property
    def state(self) -> str:
        return str(self.page.evaluate("window.edgecam.state"))

    def happened(self, kind: str) -> bool:
        """Whether our viewer page has noted an event of that kind."""
        return bool(self.page.evaluate("kind => window.edgecam.events.some(({type}) => type === kind)", kind))

    # one and the same peer connection

    def mark_connection(self) -> None:
        """Remember the present peer connection object."""
        self.page.evaluate("() => { window.markedConnection = window.edgecam.pc; }")

    def assert_same_connection(self) -> None:
        """The remembered peer connection object is still the page's, and connected."""
        same = "window.markedConnection !== null && window.edgecam.pc === window.markedConnection"
        assert self.page.evaluate(same), "the page has made a new peer connection"
        assert self.page.evaluate("window.edgecam.pc.connectionState") == "connected"

    # pixels

    def clock(self) -> tuple[int, int] | None:
        """(clock strip's milliseconds modulo 2^32, its age in ms when read), None when the picture has no strip."""
        found = self.page.evaluate(_STRIP)
        return (found["clock"], found["age"]) if found else None

    def picture(self) -> pictures.Gray:
        """The middle of the video element as it is on the screen: nothing that floats over its edges."""
        return pictures.middle(pictures.decode(self.page.locator("video").first.screenshot()))

    def assert_moving(self, frames: int = 15) -> None:
        """Two screenshots of the video, `frames` decoded frames apart, show different pictures."""
        first = self.picture()
        for _ in range(20):  # what has been decoded is painted some moments later
            if pictures.contrast(first) > 20:
                break
            self.wait_frames(1)
            first = self.picture()
        assert pictures.contrast(first) > 20, "the picture is one flat colour"
        self.wait_frames(frames)
        share = pictures.difference(first, self.picture())
        assert share > 0.001, f"only {share:.2%} of the pixels changed in {frames} frames"


class Browser:
    """One Chromium; every visit is a fresh profile in it."""

    def __init__(self, chromium: Chromium) -> None:
        self._chromium = chromium

    @contextmanager
    def profile(self, **options: Any) -> Iterator[BrowserContext]:
        """A browser profile; closing it is closing its windows without a word to the pages' servers."""
        context = self._chromium.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        try:
            yield context
        finally:
            context.close()

    @contextmanager
    def visit(self, url: str, *, tolerates: Sequence[str] = (), **options: Any) -> Iterator[Visit]:
        """Open a page; at the end its console must hold nothing but what `tolerates` (regular expressions) names."""
        with self.profile(**options) as context:
            visit = Visit(context.new_page(), tolerates)
            visit.page.goto(url)
            yield visit
            assert not visit.complaints, "the page complained:\n" + "\n".join(visit.complaints)


@contextmanager
def running_browser(*more: str) -> Iterator[Browser]:
    """Chromium, started, with `more` arguments. Fails when there is none: a skipped browser test proves nothing."""
    if not CHROMIUM.exists():
        raise RuntimeError(f"{CHROMIUM} is missing: apt-get install chromium")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=[*ARGUMENTS, *more], headless=True)
        try:
            yield Browser(chromium)
        finally:
            chromium.close()
