"""Promise of the tests' own PostgreSQL: it forgets nothing when it dies, and asks for passwords where it should."""

from __future__ import annotations

import psycopg
import pytest

from tests.support.postgres import GUARDED, Server


def test_what_was_committed_is_there_after_its_death() -> None:
    server = Server()
    url = server.database()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept (number integer)")
        connection.execute("INSERT INTO kept VALUES (7)")
    server.kill()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
    server.start()
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT number FROM kept").fetchall() == [(7,)]
        assert connection.execute("SHOW fsync").fetchone() == ("on",)
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(server.url("postgres", GUARDED[0]))
    psycopg.connect(server.url("postgres", GUARDED[0]), password=GUARDED[1]).close()
    server.remove()
