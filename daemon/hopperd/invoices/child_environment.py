"""What a process that reads documents is given of our environment: what it takes to run Python and its libraries.

A hostile document may take such a process over: no token, key or password that we were given lies in its environment.
"""

import os
from typing import Final

import hopperd

NAMES: Final = frozenset(("PATH", "HOME", "TMPDIR", "TZ", "LANG", "LANGUAGE", "TESSDATA_PREFIX"))
STARTS: Final = ("LC_", "LD_", "PYTHON", "MALLOC_", "OMP_")


def child_environment(**more: str) -> dict[str, str]:
    """With the folder that this very package was imported from on the child's path."""
    given = {name: value for name, value in os.environ.items() if name in NAMES or name.startswith(STARTS)}
    root = os.path.dirname(os.path.dirname(os.path.abspath(hopperd.__file__)))
    paths = [root, *filter(None, [given.get("PYTHONPATH")])]
    return {**given, "PYTHONPATH": os.pathsep.join(paths), **more}
