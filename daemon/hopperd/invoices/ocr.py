"""Words out of a picture of a page, by the engine that is installed: Debian's `tesseract`, run as a program.

Each page is one run with limits on time and memory; a page that is too much for it costs that page. The engine gets
pixels on its input and gives words on its output: nothing is written to disk and no name of a file ever reaches it.
"""

import contextlib
import os
import re
import resource
import shutil
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from statistics import median
from typing import TYPE_CHECKING, Final

from hopperd.invoices.pdf_text import Word

if TYPE_CHECKING:
    from PIL.Image import Image

NO_ENGINE: Final = (
    "No engine that reads pictures is installed, so nothing was read from this one; install the packages tesseract-ocr "
    "and tesseract-ocr-eng (and one for each further language, such as tesseract-ocr-deu)."
)
# More models read more accents but take longer: three cost a third more than one, six nearly twice as much.
_LANGUAGES: Final = ("eng", "deu", "fra", "spa", "ita", "nld")
_LANGUAGES_AT_ONCE: Final = 3
_MEMORY_BYTES: Final = 2 * 1024**3
_ANSWER_BYTES_MAX: Final = 8 * 1024**2
_LIST_SECONDS: Final = 10.0
_PAGE_WIDTH_POINTS: Final = 595.0
_WORD_CONFIDENCE_MIN: Final = 15.0
_SURE: Final = 50.0


class EngineFailed(Exception):
    """The engine ended without an answer: out of time, out of memory, or it did not like the picture."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """An installed engine: its program, the languages it reads at once, and whether it can tell which way is up."""

    program: str
    languages: str
    knows_orientation: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRead:
    """The words of one page, and how sure the engine was of them on average (0 to 100; 0 without a word)."""

    words: list[Word]
    confidence: float
    sure_letters: int


def find_engine() -> Engine | None:
    """The engine installed here, or None. Asked once for each place it is found in."""
    program = shutil.which("tesseract")
    return _engine_at(program) if program else None


@lru_cache(maxsize=4)
def _engine_at(program: str) -> Engine | None:
    try:
        answer = subprocess.run(  # noqa: S603  # a program found on the path, fixed arguments
            [program, "--list-langs"], capture_output=True, timeout=_LIST_SECONDS, check=True, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.SubprocessError):
        return None
    installed = set(answer.stdout.decode("ascii", "replace").split())
    languages = [language for language in _LANGUAGES if language in installed][:_LANGUAGES_AT_ONCE]
    if not languages:
        return None
    return Engine(program=program, languages="+".join(languages), knows_orientation="osd" in installed)


def read_picture(engine: Engine, picture: "Image", seconds: float) -> PageRead:
    """The words of an upright picture in grey, in points on a page as wide as A4. Raises `EngineFailed`."""
    answer = _run(engine, picture, seconds, "-l", engine.languages, "--psm", "3", "-c", "tessedit_create_tsv=1")
    return _page(answer.decode("utf-8", "replace"), _PAGE_WIDTH_POINTS / picture.width)


def turn_of(engine: Engine, picture: "Image", seconds: float) -> int | None:
    """The degrees clockwise (0, 90, 180, 270) by which a picture must be turned to be upright; None if unknown."""
    try:
        answer = _run(engine, picture, seconds, "-l", "osd", "--psm", "0")
    except EngineFailed:
        return None
    found = re.search(rb"Rotate: (0|90|180|270)\b", answer)
    return int(found[1]) if found else None


def _run(engine: Engine, picture: "Image", seconds: float, *arguments: str) -> bytes:
    pixels = b"P5 %d %d 255\n" % picture.size + picture.tobytes()
    environment = {**os.environ, "OMP_THREAD_LIMIT": "1", "LC_ALL": "C"}
    try:
        process = subprocess.Popen(  # noqa: S603  # as above
            [engine.program, "stdin", "stdout", "--dpi", "300", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        )
    except OSError as error:
        raise EngineFailed(str(error)) from error
    with process:
        _limit(process.pid, seconds)
        try:
            answer, _ = process.communicate(pixels, timeout=seconds)
        except subprocess.TimeoutExpired:
            raise EngineFailed(f"no answer within {seconds:.0f} seconds") from None
        finally:
            process.kill()
    if process.returncode != 0 or len(answer) > _ANSWER_BYTES_MAX:
        raise EngineFailed(f"it ended with {process.returncode}")
    return answer


def _limit(pid: int, seconds: float) -> None:
    """Bounds of its own, so that it ends even if we are killed while it works."""
    with contextlib.suppress(OSError, ValueError):  # it has ended already, or its bounds are tighter than these
        resource.prlimit(pid, resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 2))
        resource.prlimit(pid, resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))


def _page(table: str, points: float) -> PageRead:
    """The engine's table of words: a row each with level, page, block, paragraph, line, word, box, confidence, text."""
    lines: dict[tuple[str, ...], list[Word]] = {}
    sureness: list[float] = []
    letters = 0
    for row in table.splitlines()[1:]:
        cells = row.split("\t")
        if len(cells) != 12 or cells[0] != "5":
            continue
        text, confidence = _cleaned(cells[11].strip()), float(cells[10])
        left, top, width, height = (int(cell) * points for cell in cells[6:10])
        if not text or (confidence < _WORD_CONFIDENCE_MIN and not _AMOUNT.search(text)):
            continue
        if any(map(str.isalnum, text)):
            sureness.append(confidence)
            letters += sum(map(str.isalnum, text)) if confidence >= _SURE and len(text) > 2 else 0
        lines.setdefault(tuple(cells[1:5]), []).append(Word(text, left, top, left + width, top + height))
    words = [word for line in lines.values() for word in _levelled(line)]
    average = sum(sureness) / len(sureness) if sureness else 0.0
    return PageRead(words=words, confidence=average, sure_letters=letters)


def _levelled(line: list[Word]) -> list[Word]:
    """The words of one line at one height: the engine's boxes follow each word's own letters (`on` against `Only`)."""
    top, bottom = median(word.top for word in line), median(word.bottom for word in line)
    height = bottom - top
    return [
        word._replace(top=top, bottom=bottom)
        if abs((word.top + word.bottom - top - bottom) / 2) < height / 2 and word.bottom - word.top < 1.8 * height
        else word
        for word in line
    ]


# What the engine makes of rules between columns, and of a currency sign or digits in poor print.
_RULES: Final = re.compile(r"^[|\[\]{}_—~‘’'\"]+(?=\w)|(?<=\w)[|\[\]{}_—~‘]+$|^[|\[\]_—~=‘’']+$")
# Amounts are kept however unsure: with an unknown currency sign in front the engine doubts every one of their digits.
_AMOUNT: Final = re.compile(r"\d[.,]\d\d$")
_DOLLAR: Final = re.compile(r"^[S§](?=\d[\d,]*\.\d\d$)")
_LIKE_DIGITS: Final = re.compile(r"^[\d.,OolI]*\d[\d.,OolI]*[.,][\dOolI]{2}$")
_AS_DIGITS: Final = str.maketrans("OolI", "0011")


def _cleaned(text: str) -> str:
    text = _DOLLAR.sub("$", _RULES.sub("", text))
    return text.translate(_AS_DIGITS) if _LIKE_DIGITS.match(text) else text
