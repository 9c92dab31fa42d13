"""The browser of the tests: where it is, and how it starts without asking the network for anything of its own."""

from __future__ import annotations

from typing import Final

CHROMIUM: Final = "/usr/bin/chromium"
ARGUMENTS: Final = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
