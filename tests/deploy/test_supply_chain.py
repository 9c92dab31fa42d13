"""What it is made of: every dependency that is installed with hopperd is under a licence that was looked at."""

from __future__ import annotations

import re
from importlib import metadata

import pytest
from packaging.requirements import Requirement

from tests.deploy.root_fs import PINNED

# What a company may run and pass on beside a program under the MIT licence without asking anybody.
PERMISSIVE = {
    "0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "CC0-1.0", "ISC", "MIT", "MIT-0", "MIT-CMU", "PSF-2.0",
    "Python-2.0", "Unlicense", "Zlib",
}  # fmt: skip
AS_WRITTEN = {
    "Apache Software License": "Apache-2.0",
    "Apache 2": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "BSD License": "BSD",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "PSFL": "PSF-2.0",
    "Python Software Foundation License": "PSF-2.0",
}
# Looked at one by one, with the reason why it may come along.
LOOKED_AT = {
    ("fpdf2", "LGPL-3.0-only"): "used as it is, as a library of its own that anybody can replace",
    (
        "pypdfium2",
        "dependency licenses",
    ): "those of PDFium and what it holds: BSD, Apache, MIT, FTL, Zlib and their kin",
    ("psycopg", "LGPL-3.0-only"): "the same",
    ("psycopg-binary", "LGPL-3.0-only"): "the same, with libpq (PostgreSQL) and OpenSSL (Apache-2.0) inside",
    ("certifi", "MPL-2.0"): "a list of certificates, used as it is",
}


def _pinned() -> list[str]:
    lines = [line.rstrip(" \\\n") for line in PINNED.read_text().splitlines() if re.match(r"[A-Za-z]", line)]
    needed = [Requirement(line) for line in lines]
    return [each.name for each in needed if each.marker is None or each.marker.evaluate()]


def licences(package: str) -> set[str]:
    """The single licences that a package names, by their SPDX names where they have one."""
    told = metadata.metadata(package)
    said = told["License-Expression"]
    classified = [
        line.rpartition(" :: ")[2] for line in told.get_all("Classifier") or () if line.startswith("License ::")
    ]
    listed = [said] if said else [line for line in classified if line != "OSI Approved"] or [told["License"] or ""]
    named = {
        part.strip(" ()") for text in listed if text not in AS_WRITTEN for part in re.split(r" AND | OR |, ", text)
    }
    named |= {AS_WRITTEN[text] for text in listed if text in AS_WRITTEN}
    return {AS_WRITTEN.get(name, name) for name in named}


@pytest.mark.parametrize("package", _pinned())
def test_the_licence_of_a_dependency_is_one_that_was_looked_at(package: str) -> None:
    named = licences(package)
    assert named - {""}, f"{package} names no licence: look at it, and decide"
    unknown = {name for name in named - PERMISSIVE if (package, name) not in LOOKED_AT}
    assert not unknown, f"{package} is under {', '.join(sorted(unknown))}, which nobody has looked at"


def test_the_pinned_set_is_what_the_package_asks_for() -> None:
    pinned = {name.lower().replace("_", "-") for name in _pinned()}
    asked = [Requirement(line) for line in metadata.requires("hopperd") or ()]
    direct = {each.name.lower() for each in asked if each.marker is None or "extra" not in str(each.marker)}
    assert direct <= pinned, f"not pinned: {direct - pinned}"
