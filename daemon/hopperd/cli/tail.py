"""`hopperd tail`: events as they happen, from the running daemon."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from hopperd.cli.connection import (
    AsJson,
    ConfigFile,
    OverSocket,
    check_folder,
    daemon_session,
    running_state,
    speak_of_trouble_only,
)
from hopperd.cli.terminal import note
from hopperd.errors import NotRunning
from hopperd.ledger.state import may_use
from hopperd.settings import load
from hopperd.web.control_socket import is_answered


def tail(
    config: ConfigFile = None,
    as_json: AsJson = False,
    folder: Annotated[str | None, typer.Option(help="Only events of this hot folder.")] = None,
) -> None:
    """Events as they happen, one a line, until stopped. With --json, one JSON document a line."""
    speak_of_trouble_only()
    state = running_state(config) or load(config, need_tokens=False).state

    async def follow() -> None:
        if folder is not None and is_answered(state):
            await check_folder(OverSocket(state), folder)
        async for kind, told in _events(state):
            if folder is not None and told.get("folder") not in (folder, None):
                continue
            if as_json:
                print(json.dumps(told, ensure_ascii=True), flush=True)
            else:
                note(line(kind, told))
                sys.stdout.flush()

    asyncio.run(follow())


async def _events(state: Path) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    from aiohttp import ClientError, ClientTimeout

    try:
        async with daemon_session(state) as session:
            forever = ClientTimeout(total=None, sock_read=60)
            async with session.get("http://hopperd/v1/events", timeout=forever) as answer:
                kind = ""
                async for raw in answer.content:
                    text = raw.decode().rstrip("\n")
                    if text.startswith("event: "):
                        kind = text.removeprefix("event: ")
                    elif text.startswith("data: "):
                        yield kind, json.loads(text.removeprefix("data: "))
    except (ClientError, OSError, TimeoutError) as error:
        may_use(os.fspath(state))
        raise NotRunning("no daemon answers: `hopperd run` starts one, and only a running one has events.") from error
    raise NotRunning("the daemon ended.")


def line(kind: str, told: Mapping[str, Any]) -> str:
    """One event as a person reads it."""
    if kind == "missed":
        return f"… {told['missed']} events were missed: this terminal is too slow for them."
    at = told.get("at", "")
    if "job" not in told:
        which = told.get("account") or told.get("folder") or ""
        return f"{at}  {told.get('event', ''):<16}  {which}: {told.get('what', 'goes on')}"
    return f"{at}  {told['event']:<16}  {told['stage']:<10}  {told['folder']}/{told['file']}  {_why(told)}".rstrip()


def _why(told: Mapping[str, Any]) -> str:
    if told.get("hold"):
        return f"held: {told['hold']['what']}"
    if told.get("failure"):
        return f"{told['failure']['reason']}: {told['failure']['what']}"
    if told.get("exports"):
        return "→ " + ", ".join(told["exports"])
    return str(told.get("verification") or told.get("waiting") or told.get("outcome") or "")
