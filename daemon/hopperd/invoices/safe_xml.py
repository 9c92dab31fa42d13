"""XML parsed without ever believing it: no document type, no entities, bounded depth and size.

The standard library's expat does the work. Nothing here resolves, fetches or expands anything; whatever declares a
DTD is refused at the declaration, before a single entity could be used.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, NoReturn
from xml.parsers import expat

MAX_DEPTH: Final = 200
CHUNK_BYTES: Final = 64 * 1024


class UnsafeXml(Exception):
    """The XML declares a document type or entities."""


class TooDeepXml(Exception):
    """The XML is nested deeper than any invoice ever is."""


class BadXml(Exception):
    """The XML is not well-formed; the text says where, never what stands there."""


@dataclass(slots=True)
class Element:
    """One element by its local name, namespaces dropped; `text` is its own text up to and between its children."""

    name: str
    attributes: dict[str, str]
    children: "list[Element]" = field(default_factory=list)
    text: str = ""

    def first(self, *path: str) -> "Element | None":
        """The first element under a path of local names, or None."""
        here: Element | None = self
        for name in path:
            here = next((child for child in here.children if child.name == name), None) if here else None
        return here

    def every(self, *path: str) -> "list[Element]":
        """All elements under a path of local names, in the order of the document."""
        found = [self]
        for name in path:
            found = [child for parent in found for child in parent.children if child.name == name]
        return found

    def value(self, *path: str) -> str | None:
        """The trimmed text of the first element under a path that has any, or None."""
        return next((text for found in self.every(*path) if (text := " ".join(found.text.split()))), None)


def check(read: Callable[[int], bytes], met: Callable[[str, int], None] = lambda _name, _depth: None) -> None:
    """Parse to the end and keep nothing. Raises `UnsafeXml`, `TooDeepXml` or `BadXml`.

    `met` is told each element's local name and its depth, 0 for the outermost one.
    """
    depth = 0

    def start(name: str, _attributes: dict[str, str]) -> None:
        nonlocal depth
        met(_local(name), depth)
        depth += 1
        if depth > MAX_DEPTH:
            raise TooDeepXml

    def end(_name: str) -> None:
        nonlocal depth
        depth -= 1

    parser = _strict_parser()
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    _run(parser, read)


def parse(data: bytes) -> Element:
    """The whole document as a tree. Raises `UnsafeXml`, `TooDeepXml` or `BadXml`."""
    top = Element("", {})
    stack = [top]
    texts: list[list[str]] = [[]]

    def start(name: str, attributes: dict[str, str]) -> None:
        if len(stack) > MAX_DEPTH:
            raise TooDeepXml
        element = Element(_local(name), {_local(key): value for key, value in attributes.items()})
        stack[-1].children.append(element)
        stack.append(element)
        texts.append([])

    def end(_name: str) -> None:
        stack.pop().text = "".join(texts.pop())

    def text(data: str) -> None:
        texts[-1].append(data)

    parser = _strict_parser()
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = text
    view = memoryview(data)
    position = 0

    def read(count: int) -> bytes:
        nonlocal position
        piece = bytes(view[position : position + count])
        position += len(piece)
        return piece

    _run(parser, read)
    return top.children[0]


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def _strict_parser() -> expat.XMLParserType:
    def refuse(*_: object) -> NoReturn:
        raise UnsafeXml

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.UnparsedEntityDeclHandler = refuse
    parser.ExternalEntityRefHandler = refuse
    parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
    return parser


def _run(parser: expat.XMLParserType, read: Callable[[int], bytes]) -> None:
    try:
        while chunk := read(CHUNK_BYTES):
            parser.Parse(chunk, False)
        parser.Parse(b"", True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise BadXml(f"not well-formed at line {line}" if line else "not well-formed") from None
