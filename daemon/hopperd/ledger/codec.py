"""Frozen dataclasses ↔ JSON, by their type hints. Lossless both ways, names of files that are not UTF-8 included.

A field at its default is left out; a field the dataclass does not know is ignored, so that an older program reads
what a newer one wrote, where the schema version says it may.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any, Final, TypeVar, cast

from pydantic import ConfigDict, TypeAdapter
from pydantic_core import PydanticSerializationError

T = TypeVar("T")

# Bytes as base64. A plain dataclass takes its configuration from what it stands in: here a tuple of one.
_CONFIG: Final = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def to_json(value: object) -> str:
    """Compact JSON. Text of the service that is no Unicode (half a surrogate pair) is written with U+FFFD in its place.

    Raises ValueError where a value does not fit its field's type.
    """
    adapter = _adapter(cast("Any", type(value)))
    try:
        return _dumped(adapter, value)
    except PydanticSerializationError:
        plain = _mended(adapter.serializer.to_python((value,), exclude_defaults=True, warnings=False))
        (mended,) = adapter.validator.validate_python(plain)
        return _dumped(adapter, mended)


def from_json(hint: type[T], text: str) -> T:
    """Raises ValueError where the text is no such thing."""
    (value,) = _adapter(cast("Any", hint)).validator.validate_json(f"[{text}]")
    return cast("T", value)


@cache
def _adapter(hint: Any) -> TypeAdapter[Any]:
    return TypeAdapter(tuple[hint], config=_CONFIG)


def _dumped(adapter: TypeAdapter[Any], value: object) -> str:
    return adapter.serializer.to_json((value,), exclude_defaults=True, warnings="error").decode()[1:-1]


def _mended(plain: Any) -> Any:
    if isinstance(plain, str):
        return _LONE_SURROGATE.sub("\ufffd", plain)
    if isinstance(plain, dict):
        return {_mended(key): _mended(value) for key, value in plain.items()}
    if isinstance(plain, list | tuple):
        return [_mended(value) for value in plain]
    return plain
