"""Which ledger the settings mean: the file in the state folder, or the database that several nodes share."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hopperd.errors import LedgerError
from hopperd.ledger.store import Store
from hopperd.logs import redaction
from hopperd.ports import Budget
from hopperd.settings import Settings
from hopperd.settings.letter_secrets import of_ledger

if TYPE_CHECKING:
    from hopperd.ledger.link import Link


def open_ledger(settings: Settings, *, node: str | None = None, makes: bool = True) -> Store:
    """Blocks. Raises what Store.open_state raises; without `makes`, LedgerError where there is no ledger yet."""
    if settings.ledger is None:
        return Store.open_state(settings.state) if makes else Store.open_existing(settings.state)
    return Store.open_shared(settings.state, settings.ledger, _password(settings), node=node, makes=makes)


def link_to(settings: Settings) -> Link | None:
    """To the other nodes; None where the ledger is this daemon's own."""
    if settings.ledger is None:
        return None
    try:
        from hopperd.ledger.link import Link
    except ImportError:
        raise LedgerError("a ledger in PostgreSQL needs the extra: pip install 'hopperd[postgresql]'.") from None
    return Link(settings.ledger, _password(settings), settings.node, os.fspath(settings.state))


def budget_of(settings: Settings, node: str | None) -> Budget | None:
    """What the nodes share of each account; None where this one is alone. The ledger was opened before."""
    if settings.ledger is None or node is None:
        return None
    from hopperd.ledger.budget import PostgresBudget

    return PostgresBudget(settings.ledger, _password(settings), node)


def _password(settings: Settings) -> str:
    password = of_ledger(settings).secret
    redaction.know([password])
    return password
