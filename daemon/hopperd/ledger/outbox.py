"""Letters that wait to be told, and what people were told last. Each function runs inside a transaction of the pump."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection

from hopperd.ledger import fleet, prepared, statements
from hopperd.pipeline.letters import Letter
from hopperd.ports import LettersWaiting, WaitingLetter


def put(connection: Connection, letters: Sequence[Letter]) -> None:
    """A letter of the same id is replaced: after a rebuild a version of a job may come a second time."""
    if not letters:
        return
    connection.execute(statements.DELETE_LETTERS, {"ids": [letter.id for letter in letters]})
    connection.execute(
        statements.INSERT_LETTER,
        [
            {
                "id": letter.id,
                "channel": letter.channel,
                "at": letter.at,
                "due_at": letter.at,
                "attempts": 0,
                "trouble": None,
                "document": letter.document,
            }
            for letter in letters
        ],
    )


def due(connection: Connection, channel: str, now: float, limit: int) -> list[WaitingLetter]:
    """The oldest first."""
    if fleet.me(connection) is not None:
        return fleet.letters_due(connection, channel, now, limit)
    asked = {"of_channel": channel, "now": now, "most": limit}
    return [
        WaitingLetter(
            id=row["id"], at=row["at"], attempts=row["attempts"], trouble=row["trouble"], document=row["document"]
        )
        for row in connection.execute(statements.LETTERS_DUE, asked).mappings()
    ]


def waiting(connection: Connection) -> dict[str, LettersWaiting]:
    return {
        row["channel"]: LettersWaiting(letters=row["letters"], oldest_at=row["oldest"], next_due=row["next_due"])
        for row in connection.execute(statements.LETTERS_WAITING).mappings()
    }


def remove(connection: Connection, ids: Sequence[str]) -> None:
    connection.execute(statements.DELETE_LETTERS, {"ids": list(ids)})


def postpone(connection: Connection, ids: Sequence[str], due_at: float, trouble: str) -> None:
    rows = [{"letter_id": letter_id, "due_at": due_at, "trouble": trouble} for letter_id in ids]
    if rows:
        connection.execute(statements.POSTPONE_LETTER, rows)


def put_back(connection: Connection, ids: Sequence[str]) -> None:
    connection.execute(statements.PUT_BACK_LETTERS, {"ids": list(ids)})


def hasten(connection: Connection, channel: str, now: float) -> None:
    connection.execute(statements.HASTEN_LETTERS, {"of_channel": channel, "now": now})


def clamp(connection: Connection, latest: float) -> None:
    prepared.run(connection, statements.CLAMP_LETTERS, {"latest": latest})


def trim(connection: Connection, channel: str, keep: int) -> int:
    """Lets the oldest go where more than `keep` wait. Returns how many."""
    return connection.execute(statements.TRIM_LETTERS, {"of_channel": channel, "keep": keep}).rowcount


def told(connection: Connection) -> dict[str, str]:
    return dict(connection.execute(statements.TOLD).all())


def tell(connection: Connection, facts: Mapping[str, str | None]) -> None:
    for name, document in facts.items():
        connection.execute(statements.DELETE_TOLD, {"of_name": name})
        if document is not None:
            connection.execute(statements.INSERT_TOLD, {"name": name, "document": document})
