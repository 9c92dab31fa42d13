"""A letter on the standard input of a command: no shell, a process group of its own, killed whole at the time limit.

It sees none of our environment, which may hold tokens: a plain PATH, and what the letter is about. 0 says "taken".
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
from collections.abc import Mapping, Sequence
from typing import Final

from hopperd.pipeline.naming import printable
from hopperd.ports import NotTaken

PLAIN: Final[Mapping[str, str]] = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "HOME": "/",
}
SAID_BYTES: Final = 2_000
SAID_LETTERS: Final = 200
READ_BYTES: Final = 1 << 16
PIPES_READ: Final = 16


def is_there(word: str) -> bool:
    """Whether this user could run the command, with the PATH and in the folder that it will have."""
    return shutil.which(os.path.join("/", word) if "/" in word else word, path=PLAIN["PATH"]) is not None


class Command:
    """`about` are further variables of its environment."""

    def __init__(self, words: Sequence[str], seconds: float, about: Mapping[str, str]) -> None:
        self._words = list(words)
        self._seconds = seconds
        self._about = dict(about)

    async def take(self, letter_id: str, document: bytes) -> None:
        told = os.memfd_create("hopperd-letter")
        try:
            with _Heard() as heard:
                _fill(told, document)
                code = await self._run(letter_id, told, heard.end)
                said = printable(heard.said().decode("utf-8", "replace").strip().rpartition("\n")[2][-SAID_LETTERS:])
        finally:
            os.close(told)
        if code != 0:
            how = f"ended with {code}" if code > 0 else f"was ended by signal {-code}"
            raise NotTaken(f"{self._words[0]} {how}" + (f": {said}" if said else ""))

    async def _run(self, letter_id: str, told: int, heard: int) -> int:
        try:
            process = await asyncio.create_subprocess_exec(
                *self._words,
                stdin=told,
                stdout=heard,
                stderr=heard,
                cwd="/",
                env={**PLAIN, **self._about, "HOPPERD_LETTER": letter_id},
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise NotTaken(f"{self._words[0]} cannot be started: {error}") from None
        try:
            return await asyncio.wait_for(process.wait(), self._seconds)
        except TimeoutError:
            raise NotTaken(f"{self._words[0]} took longer than {self._seconds:g} s and was killed") from None
        finally:
            if process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.wait()

    async def close(self) -> None:
        """Nothing stays open."""


class _Heard:
    """The last words of a command. What holds the pipe open after it has ended keeps nobody waiting."""

    def __enter__(self) -> _Heard:
        self._ours, self.end = os.pipe()
        os.set_blocking(self._ours, False)
        self._last = b""
        asyncio.get_running_loop().add_reader(self._ours, self._read)
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().remove_reader(self._ours)
        os.close(self._ours)
        os.close(self.end)

    def _read(self) -> bool:
        try:
            some = os.read(self._ours, READ_BYTES)
        except BlockingIOError:
            return False
        self._last = (self._last + some)[-SAID_BYTES:]
        return bool(some)

    def said(self) -> bytes:
        for _ in range(PIPES_READ):  # somebody it left behind may go on writing for ever
            if not self._read():
                break
        return self._last


def _fill(file: int, content: bytes) -> None:
    with open(file, "wb", closefd=False) as filled:
        filled.write(content)
    os.lseek(file, 0, os.SEEK_SET)
