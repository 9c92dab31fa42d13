"""The live service's forgiving JSON: single quotes and trailing commas pass (seen in the vendor's own examples).

Strict JSON goes through the standard parser; only what that refuses is read by the hand-written one here. Depth is
bounded, and numbers that are not JSON (NaN, Infinity) are refused, as they could not be answered back.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

DEPTH_MAX: Final = 64
_SPACE: Final = re.compile(r"[ \t\r\n]*")
_WORD: Final = re.compile(r"true|false|null|-?(?:0|[1-9]\d{0,300})(?:\.\d{1,300})?(?:[eE][+-]?\d{1,4})?")
_PLAIN: Final = {'"': re.compile(r'[^"\\]*'), "'": re.compile(r"[^'\\]*")}
_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class NotJson(ValueError):
    """The text cannot be read even forgivingly; the message says where."""


def loads(body: bytes) -> Any:
    """The value of a body in UTF-8 (a byte-order mark is passed over). Raises NotJson."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotJson(f"the body is not UTF-8 at byte {error.start}") from error
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise NotJson("the body is nested too deeply") from error
    except ValueError:
        return _Parser(text).document()
    _check_depth(value)
    return value


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(DEPTH_MAX):
        level = [child for each in level for child in _children(each)]
        if not level:
            return
    raise NotJson("the body is nested too deeply")


def _children(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


class _Parser:
    """Recursive descent over one text; `at` is where it stands."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def document(self) -> Any:
        value = self.value(0)
        self.skip_space()
        if self.at != len(self.text):
            raise self.wrong("nothing more")
        return value

    def value(self, depth: int) -> Any:
        if depth > DEPTH_MAX:
            raise NotJson("the body is nested too deeply")
        self.skip_space()
        match self.peek():
            case "{":
                return self.object(depth)
            case "[":
                return self.array(depth)
            case '"' | "'":
                return self.string()
            case _:
                return self.word()

    def object(self, depth: int) -> dict[str, Any]:
        self.at += 1
        members: dict[str, Any] = {}
        while not self.took("}"):
            name = self.string()
            if not self.took(":"):
                raise self.wrong("a colon")
            members[name] = self.value(depth + 1)
            if not self.took(",") and self.next_char() != "}":
                raise self.wrong("a comma or a closing brace")
        return members

    def array(self, depth: int) -> list[Any]:
        self.at += 1
        items: list[Any] = []
        while not self.took("]"):
            items.append(self.value(depth + 1))
            if not self.took(",") and self.next_char() != "]":
                raise self.wrong("a comma or a closing bracket")
        return items

    def string(self) -> str:
        quote = self.next_char()
        if quote not in _PLAIN:
            raise self.wrong("a quoted text")
        self.at += 1
        parts: list[str] = []
        while True:
            end = self._end_of_plain(quote)
            parts.append(self.text[self.at : end])
            self.at = end + 1
            if self.at > len(self.text):
                raise NotJson("a quoted text is not closed")
            if self.text[self.at - 1] == quote:
                return "".join(parts)
            parts.append(self.escape())

    def _end_of_plain(self, quote: str) -> int:
        found = _PLAIN[quote].match(self.text, self.at)
        return self.at if found is None else found.end()

    def escape(self) -> str:
        letter = self.peek()
        self.at += 1
        if letter != "u":
            if not letter:
                raise NotJson("a quoted text is not closed")
            return _ESCAPES.get(letter, letter)
        digits = self.text[self.at : self.at + 4]
        if not re.fullmatch(r"[0-9a-fA-F]{4}", digits):
            raise self.wrong("four hexadecimal digits")
        self.at += 4
        return chr(int(digits, 16))

    def word(self) -> Any:
        found = _WORD.match(self.text, self.at)
        if found is None:
            raise self.wrong("a value")
        self.at = found.end()
        value = json.loads(found.group())
        if value in (float("inf"), float("-inf")):
            raise self.wrong("a smaller number")
        return value

    def took(self, char: str) -> bool:
        if self.next_char() != char:
            return False
        self.at += 1
        return True

    def next_char(self) -> str:
        self.skip_space()
        return self.peek()

    def peek(self) -> str:
        return self.text[self.at : self.at + 1]

    def skip_space(self) -> None:
        found = _SPACE.match(self.text, self.at)
        if found is not None:
            self.at = found.end()

    def wrong(self, expected: str) -> NotJson:
        return NotJson(f"at character {self.at + 1}, {expected} was expected")
