"""Statements that are compiled once and then go straight to the driver. For those that live as long as the program.

SQLAlchemy writes the SQL; what it does anew at each execution costs several times what SQLite needs for the whole
statement (docs/decisions/0009). Values go to the driver as they are, and come back as the driver gives them: SQLite
says 0 and 1 where a column is a Boolean. Lists among the parameters are those of an expanding `IN`.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final, cast

from sqlalchemy import Connection, Dialect, Executable
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.dml import UpdateBase
from sqlalchemy.sql.elements import ClauseElement

Parameters = Mapping[str, Any]

_NONE: Final[Parameters] = {}


@dataclass(frozen=True, slots=True)
class _Plan:
    """The SQL for one set of parameters, and how the driver wants their values."""

    sql: str
    arguments: Callable[[Parameters], Sequence[Any] | Mapping[str, Any]]
    row: Callable[[Iterable[Any]], Any] | None


_plans: dict[tuple[object, ...], _Plan] = {}


def rows(connection: Connection, statement: Executable, parameters: Parameters = _NONE) -> list[Any]:
    """Every row, as a named tuple. Raises what the driver raises."""
    parameters = _evened(parameters)
    plan = _plan(connection.dialect, statement, parameters)
    found = _driver(connection).execute(plan.sql, plan.arguments(parameters)).fetchall()
    return [plan.row(row) for row in found] if plan.row is not None else found


def values(connection: Connection, statement: Executable, parameters: Parameters = _NONE) -> list[Any]:
    """The first column of every row."""
    return [row[0] for row in rows(connection, statement, parameters)]


def value(connection: Connection, statement: Executable, parameters: Parameters = _NONE) -> Any:
    """The first column of the first row; None where there is none."""
    found = rows(connection, statement, parameters)
    return found[0][0] if found else None


def run(connection: Connection, statement: Executable, parameters: Parameters = _NONE) -> int:
    """How many rows it changed."""
    parameters = _evened(parameters)
    plan = _plan(connection.dialect, statement, parameters)
    return int(_driver(connection).execute(plan.sql, plan.arguments(parameters)).rowcount)


def run_many(connection: Connection, statement: Executable, many: Sequence[Parameters]) -> None:
    """Once for each; all have the keys of the first, and none a list."""
    plan = _plan(connection.dialect, statement, many[0])
    _driver(connection).cursor().executemany(plan.sql, [plan.arguments(one) for one in many])


def _evened(parameters: Parameters) -> Parameters:
    """Lists of a few lengths only, their last value once more as often as need be: each length is a plan of its own."""
    evened: dict[str, Any] = {}
    for name, value in parameters.items():
        if type(value) is list and (missing := (1 << (len(value) - 1).bit_length()) - len(value)) > 0 and value:
            evened[name] = value + missing * value[-1:]
    return {**parameters, **evened} if evened else parameters


def _plan(dialect: Dialect, statement: Executable, parameters: Parameters) -> _Plan:
    lengths = [len(value) if type(value) is list else -1 for value in parameters.values()]
    key = (statement, dialect.name, *parameters, *lengths)
    plan = _plans.get(key)
    if plan is None:
        plan = _plans[key] = _planned(statement, dialect, parameters)
    return plan


def _driver(connection: Connection) -> Any:
    return connection.connection.driver_connection


def _planned(statement: Executable, dialect: Dialect, parameters: Parameters) -> _Plan:
    keys = list(parameters) if isinstance(statement, UpdateBase) else None
    compiled = cast("SQLCompiler", cast("ClauseElement", statement).compile(dialect=dialect, column_keys=keys))
    state = compiled.construct_expanded_state({**compiled.construct_params(_check=False), **parameters})
    sources: dict[str, tuple[str, int | None]] = {name: (name, None) for name in state.parameters}
    for name, expanded in state.parameter_expansion.items():
        sources |= {one: (name, number) for number, one in enumerate(expanded)}
    order = list(state.positiontup or state.parameters)
    constants = {name: state.parameters[name] for name in order if sources[name][0] not in parameters}
    plain = not constants and all(sources[name] == (name, None) for name in order)

    def value(given: Parameters, name: str) -> Any:
        if name in constants:
            return constants[name]
        source, number = sources[name]
        return given[source] if number is None else given[source][number]

    def positional(given: Parameters) -> Sequence[Any]:
        return [value(given, name) for name in order]

    def named(given: Parameters) -> Mapping[str, Any]:
        return {name: value(given, name) for name in order}

    arguments: Callable[[Parameters], Sequence[Any] | Mapping[str, Any]] = named
    if compiled.positional:
        arguments = itemgetter(*order) if plain and len(order) > 1 else positional
    names = [str(column.keyname) for column in compiled._result_columns]
    shape: Any = namedtuple("row", names, rename=True) if names else None  # the names are the statement's
    return _Plan(state.statement, arguments, shape and shape._make)
