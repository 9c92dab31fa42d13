"""Dates as people print them in English, German, French, Spanish, Italian and Dutch.

`03/04/2026` can be two days: such a date stays undecided (`month_first` unknown) until the document or its country
settles it. Years are taken from 1990 to 2079; anything else is no date.
"""

import re
import unicodedata
from dataclasses import dataclass
from datetime import date
from typing import Final

_MONTHS: Final = (
    "january jan januar janvier janv enero ene gennaio gen januari",
    "february feb februar fevrier fevr febrero febbraio februari",
    "march mar marz maerz mars marzo maart mrt mrz",
    "april apr avril avr abril abr aprile",
    "may mai mayo maggio mag mei",
    "june jun juni juin junio giugno giu",
    "july jul juli juillet juil julio luglio lug",
    "august aug aout agosto ago augustus",
    "september sep sept septembre septiembre setiembre settembre set",
    "october oct oktober okt octobre octubre ottobre ott",
    "november nov novembre noviembre",
    "december dec dezember dez decembre diciembre dic dicembre",
)
_MONTH_OF: Final = {name: number for number, names in enumerate(_MONTHS, 1) for name in names.split()}
_NAME: Final = "|".join(sorted(_MONTH_OF, key=len, reverse=True))
_YEAR: Final = r"(?:19|20)\d{2}"
_DAY_OF_WEEK: Final = r"(?:[a-z]{2,10}\.?,?\s+)?"
_PATTERNS: Final = (
    ("ymd", re.compile(rf"(?<!\d)({_YEAR})[-/.](\d{{1,2}})[-/.](\d{{1,2}})(?!\d)")),
    ("num", re.compile(rf"(?<![\d.,/-])(\d{{1,2}})\s?([-/.])\s?(\d{{1,2}})\s?\2\s?({_YEAR}|\d{{2}})(?![\d]|[./-]\d)")),
    (
        "dmy",
        re.compile(
            rf"(?<!\d)(\d{{1,2}})(?:st|nd|rd|th|er|e|º|°)?[\s.\-/]*(?:de\s+|of\s+)?({_NAME})\b[\s.,\-/]*(?:de\s+|del\s+)?"
            rf"({_YEAR}|\d{{2}})(?!\d)"
        ),
    ),
    (
        "mdy",
        re.compile(
            rf"(?<!\w)(?=[a-z]{{3,10}}[\s.\-]*\d)({_NAME})\b[\s.\-]*(\d{{1,2}})(?:st|nd|rd|th)?[\s.,\-]+({_YEAR})(?!\d)"
        ),
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundDate:
    """A date in a text: two readings if it could be either, the one with the day first in front."""

    readings: tuple[date, ...]
    start: int
    end: int
    is_numeric: bool
    separator: str = ""


def dates_in(text: str) -> list[FoundDate]:
    """All dates in a text, from left to right, none overlapping another."""
    small = plain(text)
    found: list[FoundDate] = []
    for form, pattern in _PATTERNS:
        for match in pattern.finditer(small):
            taken = any(match.start() < other.end and other.start < match.end() for other in found)
            readings = () if taken else _readings(form, match)
            if readings:
                numeric = form == "num"
                sign = match[2] if numeric else ""
                found.append(
                    FoundDate(
                        readings=readings, start=match.start(), end=match.end(), is_numeric=numeric, separator=sign
                    )
                )
    return sorted(found, key=lambda date: date.start)


def date_at_start(text: str) -> FoundDate | None:
    """The date a text begins with, after at most a day of the week or a sign."""
    return next((found for found in dates_in(text) if _LEAD.fullmatch(plain(text)[: found.start])), None)


_LEAD: Final = re.compile(rf"[\s:.#\-–]*{_DAY_OF_WEEK}[\s:.,\-–]*")


def month_first(text: str) -> bool | None:
    """Whether the numeric dates of a document put the month first; None if none of them shows it or they contradict."""
    seen = set()
    for match in _PATTERNS[1][1].finditer(plain(text)):
        first, second = int(match[1]), int(match[3])
        if match[2] == "/" and first > 12 >= second:
            seen.add(False)
        elif match[2] in "/-" and second > 12 >= first:
            seen.add(True)
    return seen.pop() if len(seen) == 1 else None


def settle(found: FoundDate, month_comes_first: bool | None) -> date | None:
    """The one day meant, given how the document writes its dates; None if that stays open."""
    if len(found.readings) == 1:
        return found.readings[0]
    if found.separator == ".":
        return found.readings[0]
    if month_comes_first is None:
        return None
    return found.readings[1 if month_comes_first else 0]


class _Plainer(dict[int, str]):
    """Each character's plain form, worked out when it is first met."""

    def __missing__(self, code: int) -> str:
        self[code] = unicodedata.normalize("NFD", chr(code))[0].lower()[0].replace("º", "°").replace("’", "'")
        return self[code]


_PLAINER: Final = _Plainer()


def plain(text: str) -> str:
    """Lower case without accents, character for character, so that places stay the same."""
    return text.lower() if text.isascii() else text.translate(_PLAINER)


def _readings(form: str, match: re.Match[str]) -> tuple[date, ...]:
    if form == "ymd":
        return _days((int(match[1]), int(match[2]), int(match[3])))
    if form == "dmy":
        return _days((_year(match[3]), _MONTH_OF[match[2]], int(match[1])))
    if form == "mdy":
        return _days((_year(match[3]), _MONTH_OF[match[1]], int(match[2])))
    year, first, second = _year(match[4]), int(match[1]), int(match[3])
    return _days((year, second, first), (year, first, second))


def _year(text: str) -> int:
    return int(text) if len(text) == 4 else 2000 + int(text)


def _days(*candidates: tuple[int, int, int]) -> tuple[date, ...]:
    days: dict[date, None] = {}
    for year, month, day in candidates:
        try:
            if 1990 <= year < 2080:
                days[date(year, month, day)] = None
        except ValueError:
            continue
    return tuple(days)
