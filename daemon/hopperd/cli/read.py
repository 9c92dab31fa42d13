"""`hopperd read`: one invoice, read with the same reader as the sandbox's, and written as one export."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from typing import Annotated

import typer

from hopperd.errors import ConfigurationError, WorkFailed
from hopperd.pipeline.naming import printable

_SIZE_BYTES_MAX = 100_000_000


class Format(StrEnum):
    """The exports there are; `xls` is a workbook and not for a terminal."""

    JSON = "json"
    CSV = "csv"
    XML = "xml"
    XLS = "xls"


def read(
    file: Annotated[
        str, typer.Argument(metavar="FILE", help="An invoice: PDF, TIFF, JPEG, PNG or an e-invoice's XML.")
    ],
    format_name: Annotated[Format, typer.Option("--format", case_sensitive=False, help="What to write.")] = Format.JSON,
    out: Annotated[
        str | None, typer.Option("--out", metavar="FILE", help="Write here instead of the terminal.")
    ] = None,
) -> None:
    """Read one invoice and print what stands on it. Nothing leaves this machine."""
    from hopperd.invoices.read_worker import read_in_child

    if format_name is Format.XLS and out is None and sys.stdout.isatty():
        raise ConfigurationError(["A workbook is nothing for a terminal; say where to put it with --out FILE."])
    data = _bytes_of(file)
    result = read_in_child(data, os.path.basename(file), format_name.value)
    for each in result.notes:
        print(f"hopperd: {printable(file)}: {each}", file=sys.stderr)
    if not result.exports:
        raise WorkFailed(f"{file} cannot be read: {result.what}")
    _put(result.exports[0].data, out)


def _bytes_of(path: str) -> bytes:
    try:
        with open(path, "rb") as source:
            data = source.read(_SIZE_BYTES_MAX + 1)
    except OSError as error:
        raise WorkFailed(f"{path} cannot be read: {error.strerror or error}.") from error
    if len(data) > _SIZE_BYTES_MAX:
        raise WorkFailed(f"{path} cannot be read: it has more than {_SIZE_BYTES_MAX // 1_000_000} MB.")
    return data


def _put(data: bytes, path: str | None) -> None:
    if path is None:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    try:
        with open(path, "wb") as target:
            target.write(data)
    except OSError as error:
        raise WorkFailed(f"{path} cannot be written: {error.strerror or error}.") from error
