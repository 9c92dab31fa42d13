"""Joins the window to the daemon: its tokens, and the proofs that /healthz and /readyz ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from functools import partial

from hopperd.grounds import Grounds
from hopperd.ledger.store import Store
from hopperd.logs import redaction
from hopperd.ports import Clock
from hopperd.settings import Settings
from hopperd.settings.bucket_path import in_bucket
from hopperd.settings.web_tokens import web_tokens
from hopperd.web.health import Probes
from hopperd.web.live import Live
from hopperd.web.rights import Rights
from hopperd.web.window import Window
from hopperd.workers.pulse import Pulse


def window_of(
    store: Store,
    configured: Callable[[], Settings],
    clock: Clock,
    live: Live,
    pulse: Pulse,
    threads_of: Callable[[str], Executor],
) -> Window:
    """The window of one daemon; the ledger tells it of everything that becomes durable."""
    settings = configured()
    tokens = web_tokens(settings.web)
    rights = Rights(read_token=tokens.read.get_secret_value(), act_token=tokens.act.get_secret_value())
    redaction.know([rights.read_token, rights.act_token])
    # Of a bucket, whose every look costs requests, the intake's own looks tell.
    on_disk = [folder for folder in settings.folders if in_bucket(folder.path) is None]
    grounds = {folder.name: Grounds(settings.state).of(folder, threads_of(folder.name)) for folder in on_disk}

    async def prove(name: str) -> tuple[str, ...]:
        """What keeps a hot folder from working at this moment: by a real write in each of its places."""
        trouble = live.folder_state(name).trouble
        if trouble is not None:
            return (trouble,)
        ground = grounds.get(name)
        return (await ground.in_thread(ground.probe)).problems if ground is not None else ()

    def ages() -> Mapping[str, float]:
        return dict[str, float](pulse.ages().items())

    probes = Probes(
        folders={name: partial(prove, name) for name in (folder.name for folder in settings.folders)},
        ledger=lambda: store.prove_writable(clock.now()),
        accounts={name: partial(live.account_pause, name) for name in settings.accounts},
        silent=pulse.silent,
        ages=ages,
    )
    window = Window(store, configured, clock, live, rights, probes)
    store.listener = window
    return window
