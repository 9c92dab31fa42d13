"""Joins what is told outside to its settings: which letters are written, who takes them, and who looks out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Final, Protocol

from hopperd.ledger.store import Store
from hopperd.logs import redaction
from hopperd.outbound.command import Command
from hopperd.outbound.webhook import Webhook
from hopperd.pipeline.letters import HOOK, Mailing
from hopperd.ports import ALONE, Clock, Lease, Pause, Receiver
from hopperd.settings import Folder, NoticesSettings, Settings
from hopperd.settings.letter_secrets import of_hook, of_notices
from hopperd.web.metrics import Metrics
from hopperd.workers.courier import Courier, HookCourier, Note, NoticeCourier, Pace
from hopperd.workers.lookout import Lookout, Views, Wishes

POSTS_AT_ONCE: Final = 8
COMMANDS_AT_ONCE: Final = 2
NOTICE_SECONDS: Final = 30.0
BY_WEBHOOK: Final = "notices/webhook"
BY_CHAT: Final = "notices/chat"


class Seen(Protocol):
    """What the running daemon knows, for the lookout."""

    def account_pause(self, account: str) -> Pause | None: ...

    def folder_trouble(self, folder: str) -> str | None: ...


def mailing_of(settings: Settings) -> Mailing:
    """Which letters are written. A channel that has nobody at its end has no letters."""
    channels = []
    if settings.notices.webhook is not None:
        channels.append(BY_WEBHOOK)
    if of_notices(settings.notices).addresses:
        channels.append(BY_CHAT)
    return Mailing(
        hooks=frozenset(folder.name for folder in settings.folders if _has_hook(folder)),
        channels=tuple(channels),
        kinds=frozenset(settings.notices.kinds),
    )


class Mailroom:
    """Every courier and the lookout of one daemon. Raises ConfigurationError where an address is none."""

    def __init__(
        self, settings: Settings, store: Store, clock: Clock, seen: Seen, metrics: Metrics, lease: Lease = ALONE
    ) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock
        self._metrics = metrics
        mailing = store.mailing = mailing_of(settings)
        self._couriers: dict[str, Courier] = {}
        for folder in settings.folders:
            if _has_hook(folder):
                self._add_hook(folder)
        self._add_notices()
        store.on_letters = self._wake
        self._lookout: Lookout | None = None
        if mailing.channels:
            views = Views(
                accounts={name: partial(seen.account_pause, name) for name in settings.accounts},
                folders={folder.name: partial(seen.folder_trouble, folder.name) for folder in settings.folders},
                hooks={name: partial(self._hook_trouble, name) for name in sorted(mailing.hooks)},
            )
            self._lookout = Lookout(store, clock, views, _wishes(settings), mailing, lease)

    def _add_hook(self, folder: Folder) -> None:
        channel = HOOK + folder.name
        if folder.after_delivery_url is not None:
            secret = of_hook(folder).secret
            redaction.know([secret])
            receiver = Webhook(folder.after_delivery_url, secret, folder.after_delivery_seconds, self._clock.now)
            self._add(HookCourier(*self._for(channel, receiver), at_once=POSTS_AT_ONCE))
            return
        about = {"HOPPERD_FOLDER": folder.name, "HOPPERD_OUT": str(folder.out), "HOPPERD_DONE": str(folder.done)}
        command = Command(folder.after_delivery_command, folder.after_delivery_seconds, about)
        self._add(HookCourier(*self._for(channel, command), at_once=COMMANDS_AT_ONCE))

    def _add_notices(self) -> None:
        notices = self._settings.notices
        secrets = of_notices(notices)
        redaction.know([secrets.secret, *secrets.addresses])
        if notices.webhook is not None:
            webhook = Webhook(notices.webhook, secrets.secret, NOTICE_SECONDS, self._clock.now)
            self._add(NoticeCourier(*self._for(BY_WEBHOOK, webhook), pace=_pace(notices)))
        if secrets.addresses:
            from hopperd.outbound.chat import Chat  # an extra

            self._add(NoticeCourier(*self._for(BY_CHAT, Chat(secrets.addresses)), pace=_pace(notices)))

    def _for(self, channel: str, receiver: Receiver) -> tuple[str, Receiver, Store, Clock, Note]:
        return channel, receiver, self._store, self._clock, self._metrics.handed_over

    def _add(self, courier: Courier) -> None:
        self._couriers[courier.channel] = courier

    def _wake(self) -> None:
        for courier in self._couriers.values():
            courier.wake()

    # ------------------------------------------------------------------------------------------------- running

    def start(self, group: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
        tasks = [group.create_task(one.run(), name=f"courier {channel}") for channel, one in self._couriers.items()]
        if self._lookout is not None:
            tasks.append(group.create_task(self._lookout.run(), name="lookout"))
        return tasks

    async def stop(self, seconds: float) -> None:
        await asyncio.gather(*(courier.stop(seconds) for courier in self._couriers.values()))

    def troubles(self) -> Mapping[str, str | None]:
        """Every channel there is, and why nothing gets through on it."""
        return {channel: courier.trouble for channel, courier in self._couriers.items()}

    def _hook_trouble(self, folder: str) -> str | None:
        return self._couriers[HOOK + folder].trouble


def _has_hook(folder: Folder) -> bool:
    return folder.after_delivery_url is not None or bool(folder.after_delivery_command)


def _pace(notices: NoticesSettings) -> Pace:
    return Pace(gather_seconds=notices.gather_seconds, at_most_every_seconds=notices.at_most_every_seconds)


def _wishes(settings: Settings) -> Wishes:
    notices = settings.notices
    hour, _, minute = notices.digest_at.partition(":")
    return Wishes(
        backlog_seconds=notices.backlog_seconds,
        verification_seconds=notices.verification_hours * 3600.0,
        digest_at=(int(hour), int(minute)) if notices.digest_at else None,
    )
