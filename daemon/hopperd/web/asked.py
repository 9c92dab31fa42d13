"""What a request asks, read from its query or its body: nothing is guessed, and no value is bent into another kind.

What cannot be read raises NotUnderstood, here and nowhere else: any other error is a mistake of ours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args

from aiohttp import web

from hopperd.pipeline.job import JobId, Stage
from hopperd.ports import JobQuery
from hopperd.web.orders import Order, OrderName

MOST_JOBS_A_PAGE: Final = 1000
SLOWEST_BODY_SECONDS: Final = 20.0
ORDER_KEYS: Final = ("order", "jobs", "failed", "folder", "task", "why")

Kind = Literal["account", "folder"]
Get = Callable[[str], str | None]


class NotUnderstood(Exception):
    """The request makes no sense; the sentence says what is wrong with it."""


# ---------------------------------------------------------------------------------------------------------- bodies


async def body_of(request: web.Request) -> dict[str, Any]:
    try:
        async with asyncio.timeout(SLOWEST_BODY_SECONDS):
            body = await request.json()
    except (ValueError, LookupError, RecursionError) as error:  # no JSON, an unknown charset, nested without end
        raise NotUnderstood(f"the body is no JSON ({error})") from None
    if not isinstance(body, dict):
        raise NotUnderstood("the body is no object")
    return body


def order_from(body: Mapping[str, Any]) -> Order:
    """The order of a request or a command line."""
    name = _one_of(body, "order", get_args(OrderName))
    for key in body:
        if key not in ORDER_KEYS:  # left out, it could leave an order to one job an order to all
            raise NotUnderstood(f"an order has no {key!r}; it has {', '.join(ORDER_KEYS)}")
    order = Order(
        name=cast("OrderName", name),
        jobs=_texts(body, "jobs"),
        failed=_yes_no(body, "failed"),
        folder=_text_or_none(body, "folder"),
        task=_text_or_none(body, "task"),
        why=_text_or_none(body, "why") or "",
    )
    if order.task is not None and (order.name != "release" or len(order.jobs) != 1):
        raise NotUnderstood("task settles the doubt of one job: release that job, and no other")
    return order


def target_from(body: Mapping[str, Any]) -> tuple[Kind, str, str]:
    """Which account or folder, and why."""
    kind = _one_of(body, "kind", get_args(Kind))
    return cast("Kind", kind), _text(body, "name"), _text_or_none(body, "why") or ""


def path_from(body: Mapping[str, Any]) -> Path:
    return Path(_text(body, "path"))


def repair_from(body: Mapping[str, Any]) -> bool:
    return _yes_no(body, "repair")


# --------------------------------------------------------------------------------------------------------- queries


def query_from(get: Get) -> JobQuery:
    """The query of a request or a command line."""
    stages, before, age = _asked(get, "stage"), _asked(get, "before"), _asked(get, "opened_before")
    try:
        return JobQuery(
            stages=tuple(Stage(stage) for stage in stages.split(",")) if stages else None,
            folder=_asked(get, "folder"),
            account=_asked(get, "account"),
            held=True if get("held") else None,
            failed=True if get("failed") else None,
            perhaps_twice=True if get("doubts") else None,
            waiting_for_person=True if get("waiting_for_person") else None,
            opened_before=float(age) if age else None,
            text=_asked(get, "text"),
            before=JobId(before) if before else None,
            limit=max(1, min(MOST_JOBS_A_PAGE, int(get("limit") or 100))),
        )
    except ValueError as error:
        raise NotUnderstood(str(error)) from None


def name_from(get: Get) -> str:
    return _needed(get, "name")


def export_from(get: Get) -> tuple[JobId, int]:
    """Of which job, and which of its exports, counted from 0."""
    job, number = _needed(get, "job"), _needed(get, "number")
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise NotUnderstood("number is a number from 0 on")
    return JobId(job), int(number)


# ---------------------------------------------------------------------------------------------------------- values


def _text(body: Mapping[str, Any], key: str) -> str:
    value = body.get(key)
    if not isinstance(value, str) or not value:
        raise NotUnderstood(f"{key} is a text, and not empty")
    return _storable(key, value)


def _text_or_none(body: Mapping[str, Any], key: str) -> str | None:
    value = body.get(key)
    if value is not None and not isinstance(value, str):
        raise NotUnderstood(f"{key} is a text")
    return _storable(key, value) if value is not None else None


def _texts(body: Mapping[str, Any], key: str) -> tuple[str, ...]:
    value = body.get(key, [])
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise NotUnderstood(f"{key} is a list of texts, none of them empty")
    return tuple(_storable(key, one) for one in value)


def _yes_no(body: Mapping[str, Any], key: str) -> bool:
    value = body.get(key, False)
    if not isinstance(value, bool):
        raise NotUnderstood(f"{key} is true or false")
    return value


def _one_of(body: Mapping[str, Any], key: str, known: tuple[str, ...]) -> str:
    value = body.get(key)
    if not isinstance(value, str) or value not in known:
        raise NotUnderstood(f"{key} is one of {', '.join(known)}")
    return value


def _asked(get: Get, key: str) -> str | None:
    value = get(key)
    return _storable(key, value) if value is not None else None


def _needed(get: Get, key: str) -> str:
    value = _asked(get, key)
    if not value:
        raise NotUnderstood(f"{key} is missing")
    return value


def _storable(key: str, text: str) -> str:
    """What no database takes as a text is no name of anything that it knows."""
    if "\0" in text or (not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text)):
        raise NotUnderstood(f"{key} has letters in it that no text has")
    return text
