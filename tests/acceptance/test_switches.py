"""What the service's documentation leaves open: the real daemon carries invoices home whichever way it is answered.

One daemon, with an account and a hot folder for each few of the sandbox's switches and one for most of them at once.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest

from tests.contract.test_service_switches import SWITCHES
from tests.support.line import APPLICATION, TOKEN, hopperd, invoice
from tests.support.oracle import judge
from tests.support.sandbox_process import SandboxProcess

pytestmark = pytest.mark.timeout(180)

DEFAULTS: Final = ("array", "fraction", "204", "upper", "with-ms")
TURNED: Final = [options for options, _ in SWITCHES.values() if options[-1] not in DEFAULTS]
AT_ONCE: Final = 4
INVOICES: Final = 2


def test_the_daemon_delivers_under_every_switch_of_the_sandbox(tmp_path: Path) -> None:
    few = [sum(TURNED[start::AT_ONCE], ()) for start in range(AT_ONCE)]
    most = sum((options for options in TURNED if options[-1] != "without"), ())
    cases = {f"case-{place}": options for place, options in enumerate([*few, most])}
    with ExitStack() as stack:
        put: dict[str, Counter[str]] = {name: Counter() for name in cases}
        config = [f'state = "{tmp_path / "state"}"', '[web]\nlisten = ""']
        token = tmp_path / "token"
        token.write_text(TOKEN)
        token.chmod(0o600)
        for name, options in cases.items():
            root = tmp_path / name
            (root / "in").mkdir(parents=True)
            sandbox = stack.enter_context(
                SandboxProcess(
                    *options, "--reader", "none", log=str(root / "sandbox.jsonl"), applications=((APPLICATION, TOKEN),)
                )
            )
            config.append(
                f'[accounts.{name}]\nbase_url = "{sandbox.url}"\napplication_id = "{APPLICATION}"\n'
                f'application_token_file = "{token}"\nrequests_per_second = 500\n'
                f'[[folders]]\nname = "{name}"\npath = "{root}"\naccount = "{name}"\nregion = "US"\n'
                f'export_format = "Json"\nquiet_seconds = 0.2\nsweep_seconds = 2'
            )
            for number in range(INVOICES):
                content = invoice(f"{name}-{number}")
                (root / "in" / f"{number}.pdf").write_bytes(content)
                put[name][hashlib.sha256(content).hexdigest()] += 1
        (tmp_path / "hopperd.toml").write_text("\n".join(config))
        ended = hopperd("run", "--once", "--config", str(tmp_path / "hopperd.toml"))
        assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
        for name, options in cases.items():
            verdict = judge(tmp_path / name, tmp_path / name / "sandbox.jsonl", put[name], finished=True)
            assert not verdict.broken, (options, verdict.broken)
            assert (verdict.delivered, verdict.runs, verdict.doubts) == (INVOICES, INVOICES, 0), options
