"""A headless Chromium, and what a page in it does, asks for and complains of, over the DevTools protocol."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from tests.servers.local_process import LocalProcess, on_path

_ANSWER_SECONDS = 60.0
_OPTIONS = (
    "--headless",
    "--no-sandbox",  # as root it has none
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--remote-debugging-port=0",
)


def find_chromium() -> Path | None:
    return on_path("chromium")


class Chromium(LocalProcess):
    """One browser, with an empty profile and a port of its own choice."""

    start_seconds = 60.0

    def __init__(self, binary: Path) -> None:
        super().__init__(port=0)
        self.binary = binary

    def command(self) -> list[str]:
        # What it keeps outside its profile is to go with the directory as well.
        return [
            "env",
            f"HOME={self.home}",
            str(self.binary),
            *_OPTIONS,
            f"--user-data-dir={self.home / 'profile'}",
            "about:blank",
        ]

    def is_up(self) -> bool:
        return bool(self._announcement())

    def __exit__(self, *of_exception: object) -> None:
        self.stop()
        super().__exit__(*of_exception)

    @property
    def endpoint(self) -> str:
        port, path = self._announcement()
        return f"ws://127.0.0.1:{port}{path}"

    def _announcement(self) -> list[str]:
        """Port and path, once both are written."""
        with suppress(FileNotFoundError):
            lines = (self.home / "profile" / "DevToolsActivePort").read_text().splitlines()
            return lines if len(lines) == 2 else []
        return []


@dataclass
class Page:
    """A tab. Everything it asked for and complained of since it was opened stands in its lists."""

    socket: aiohttp.ClientWebSocketResponse
    session: str = ""
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    loaded: asyncio.Event = field(default_factory=asyncio.Event)
    _waiting: dict[int, asyncio.Future[dict]] = field(default_factory=dict)
    _commands: int = 0

    async def command(self, method: str, **parameters: object) -> dict:
        """One command of the protocol, and its answer."""
        self._commands += 1
        message = {"id": self._commands, "method": method, "params": parameters}
        answer = self._waiting[self._commands] = asyncio.get_running_loop().create_future()
        await self.socket.send_json({**message, "sessionId": self.session} if self.session else message)
        async with asyncio.timeout(_ANSWER_SECONDS):
            return await answer

    async def evaluate(self, expression: str):
        """The value of an expression in the page; of its promise, when it is one."""
        answer = await self.command(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    async def mouse(self, x: float, y: float, kind: str = "mouseMoved", **more: object) -> None:
        await self.command("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    async def click(self, x: float, y: float) -> None:
        for kind in ("mousePressed", "mouseReleased"):
            await self.mouse(x, y, kind, button="left", clickCount=1)

    async def press(self, key: str) -> None:
        codes = {"ArrowLeft": 37, "ArrowRight": 39, "Escape": 27}
        for kind in ("rawKeyDown", "keyUp"):
            await self.command("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=codes[key])

    async def read(self) -> None:
        """Take what the browser tells, until it is gone."""
        async for message in self.socket:
            told = json.loads(message.data)
            if "id" in told:
                answer = self._waiting.pop(told["id"])
                if "error" in told:
                    answer.set_exception(RuntimeError(told["error"]["message"]))
                else:
                    answer.set_result(told["result"])
            else:
                self._note(told["method"], told["params"])

    def _note(self, event: str, about: dict) -> None:
        match event:
            case "Network.requestWillBeSent":
                self.requests.append(about["request"]["url"])
            case "Runtime.consoleAPICalled":
                self.complaints.append(f"{about['type']}: {about['args']}")
            case "Runtime.exceptionThrown":
                self.complaints.append(str(about["exceptionDetails"]))
            case "Log.entryAdded":
                self.complaints.append(about["entry"]["text"])
            case "Page.javascriptDialogOpening":
                self.complaints.append(f"dialog: {about['message']}")
            case "Page.loadEventFired":
                self.loaded.set()
            case _:
                pass


@asynccontextmanager
async def opened(
    browser: Chromium, url: str, *, width: int = 1200, height: int = 900, touch: bool = False, scheme: str = "light"
) -> AsyncIterator[Page]:
    """A page in a tab of its own, loaded."""
    async with aiohttp.ClientSession() as client, client.ws_connect(browser.endpoint, max_msg_size=0) as socket:
        page = Page(socket)
        reader = asyncio.create_task(page.read())
        try:
            tab = (await page.command("Target.createTarget", url="about:blank"))["targetId"]
            page.session = (await page.command("Target.attachToTarget", targetId=tab, flatten=True))["sessionId"]
            for domain in ("Page", "Runtime", "Network", "Log"):
                await page.command(f"{domain}.enable")
            await page.command(
                "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=touch
            )
            await page.command("Emulation.setTouchEmulationEnabled", enabled=touch)
            await page.command(
                "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
            )
            await page.command("Page.navigate", url=url)
            async with asyncio.timeout(_ANSWER_SECONDS):
                await page.loaded.wait()
            yield page
            page.session = ""
            await page.command("Target.closeTarget", targetId=tab)
        finally:
            reader.cancel()
            with suppress(asyncio.CancelledError):
                await reader
