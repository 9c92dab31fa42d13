"""`hopperd`, and `python -m hopperd`."""

import sys

from hopperd.cli import run
from hopperd.threads import leave


def main() -> None:
    try:
        code = run(sys.argv[1:])
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1 if ended.code else 0
    leave(code)


if __name__ == "__main__":
    main()
