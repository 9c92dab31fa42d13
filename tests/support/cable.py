"""The network between one node and a server, to be pulled and plugged in again: a relay on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from types import TracebackType

GIVES_UP_SECONDS = 10.0
"""As TCP does with what is not acknowledged for so long; towards a relay on loopback everything is."""

CHUNK_BYTES = 64 * 1024


class Cable:
    """Clients connect to `port`; what they say goes to `target`, a port of this machine, while it is plugged in."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._loop = asyncio.new_event_loop()
        self._plugged = asyncio.Event()
        self._plugged.set()
        self._ends: set[asyncio.StreamWriter] = set()
        self._relaying: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._accepted, "127.0.0.1", 0), self._loop
        ).result()
        self.port: int = self._server.sockets[0].getsockname()[1]

    def pull(self) -> None:
        """Nothing gets through any more, and nobody is told. Who is connected is cut off when TCP would give up."""
        self._loop.call_soon_threadsafe(self._plugged.clear)
        self._loop.call_soon_threadsafe(self._loop.call_later, GIVES_UP_SECONDS, self._give_up)

    def plug(self) -> None:
        self._loop.call_soon_threadsafe(self._plugged.set)

    def _give_up(self) -> None:
        if not self._plugged.is_set():
            for end in self._ends:
                end.transport.abort()

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._relay(reader, writer))
        self._relaying.add(task)
        task.add_done_callback(self._relaying.discard)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._ends.add(writer)
        there: asyncio.StreamWriter | None = None
        try:
            await self._plugged.wait()
            answers, there = await asyncio.open_connection("127.0.0.1", self._target)
            self._ends.add(there)
            ways = [asyncio.ensure_future(self._pass_on(*way)) for way in ((reader, there), (answers, writer))]
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        except OSError:
            pass
        finally:
            for end in (writer, there):
                if end is not None:
                    self._ends.discard(end)
                    end.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while said := await reader.read(CHUNK_BYTES):
            await self._plugged.wait()
            writer.write(said)
            await writer.drain()

    async def _end(self) -> None:
        self._server.close()
        for task in self._relaying:
            task.cancel()
        await asyncio.gather(*self._relaying, return_exceptions=True)
        await asyncio.sleep(0)

    def __enter__(self) -> Cable:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        with contextlib.suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(5.0)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
