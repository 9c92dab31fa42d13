"""Which names in in/ are somebody's invoices and which are left alone: temporary names, system files, patterns."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hopperd.settings import Folder

_UNFINISHED = frozenset(
    b"part crdownload tmp temp partial filepart download opdownload swp swo swx aria2 !qb !ut bc! dtapart"
    b" uploading inprogress incomplete".split()
)
_SYSTEM = frozenset(
    (
        *b"thumbs.db ehthumbs.db ehthumbs_vista.db desktop.ini @eadir #recycle #snapshot @recycle @tmp".split(),
        *b"@recently-snapshot $recycle.bin recycler __macosx lost+found icon\r".split(b" "),
        b"system volume information",
        b"network trash folder",
        b"temporary items",
    )
)
_INVOICES = (b".pdf", b".tif", b".tiff", b".jpg", b".jpeg", b".png", b".xml")
_TAILS = (b"~", b"#")
_SAFE_SAVE = re.compile(rb"\.sb-[0-9a-f]{8}-\w+\Z", re.IGNORECASE)  # macOS, while it saves

Judge = Callable[[str, str], bool]


@dataclass(frozen=True, slots=True)
class Selection:
    """What a folder's settings say about which files are taken. `depth` is how many levels of subfolders count."""

    depth: int = 8
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    _include: Judge | None = field(init=False, repr=False, compare=False)
    _exclude: Judge | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_include", _judge(self.include))
        object.__setattr__(self, "_exclude", _judge(self.exclude))

    @classmethod
    def of(cls, settings: Folder) -> Selection:
        return cls(settings.depth, tuple(settings.include), tuple(settings.exclude))

    @property
    def has_patterns(self) -> bool:
        return self._include is not None or self._exclude is not None

    def why_not(self, name: bytes) -> str | None:
        """None if this path below in/ is to be taken, else the slug of why it is left alone."""
        reason = left_alone_by_name(name)
        if reason is not None or not self.has_patterns:
            return reason
        path = _text(os.fsdecode(name))
        base = path[path.rfind("/") + 1 :]
        if self._include is not None and not self._include(path, base):
            return "excluded"
        return "excluded" if self._exclude is not None and self._exclude(path, base) else None


def left_alone_by_name(name: bytes) -> str | None:
    """`temporary-name` while somebody is still writing it, `hidden-name` for what may be an invoice all the same,
    `system-file` for what no person put there, else None."""
    base = name[name.rfind(b"/") + 1 :]
    lower = base.lower()
    if lower in _SYSTEM or base[:1] == b"." or base[:2] == b"~$":
        is_invoice = lower.endswith(_INVOICES) and base[:2] != b"._"  # macOS keeps one beside each file on a share
        return "hidden-name" if is_invoice else "system-file"
    if lower[lower.rfind(b".") + 1 :] in _UNFINISHED and b"." in lower:
        return "temporary-name"
    if base[-1:] in _TAILS and (base[-1:] == b"~" or base[:1] == b"#"):
        return "temporary-name"
    return "temporary-name" if b".sb-" in lower and _SAFE_SAVE.search(lower) else None


def _text(name: str) -> str:
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _judge(patterns: Sequence[str]) -> Judge | None:
    """Whether any pattern fits: one with a slash is held against the path, one without against the name."""
    if not patterns:
        return None
    paths = [_regex(pattern) for pattern in patterns if "/" in pattern]
    names = [_regex(pattern) for pattern in patterns if "/" not in pattern]
    flags = re.IGNORECASE | re.DOTALL
    path_fits = re.compile("|".join(paths) or r"(?!)", flags).fullmatch
    name_fits = re.compile("|".join(names) or r"(?!)", flags).fullmatch
    return lambda path, base: name_fits(base) is not None or path_fits(path) is not None


def _regex(pattern: str) -> str:
    """A glob as a regular expression: `*` and `?` stop at a slash, `**` does not."""
    pattern = _text(pattern).removeprefix("/")
    parts = []
    for piece in re.findall(r"\*\*/|\*\*|\[!?\]?[^]]*\]|.", pattern, re.DOTALL):
        if piece == "**/":
            parts.append("(?:.*/)?")
        elif piece == "**":
            parts.append(".*")
        elif piece in ("*", "?"):
            parts.append("[^/]" + ("*" if piece == "*" else ""))
        elif len(piece) > 2 and piece.startswith("["):
            parts.append(_class(piece[1:-1]))
        else:
            parts.append(re.escape(piece))
    return f"(?:{''.join(parts)})"


def _class(inside: str) -> str:
    negated = inside.startswith("!")
    inside = inside.removeprefix("!").replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]").replace("^", "\\^")
    expression = f"[{'^' if negated else ''}{inside}]"
    try:
        re.compile(expression)
    except re.error:  # a range the wrong way round: it fits nothing, as in fnmatch
        return "(?!)"
    return expression
