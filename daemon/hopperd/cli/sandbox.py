"""`hopperd sandbox`: the service's twin as a server of its own, for staging and tests.

Also runs alone, as `python -m hopperd.cli.sandbox`. Nothing heavy is imported before the command is really called.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

_Applications = Annotated[
    list[str] | None,
    typer.Option("--application", metavar="ID:TOKEN", help="Credentials it accepts. Several times for several."),
]
_Seconds = Annotated[str, typer.Option(metavar="MIN-MAX", help="How long a task takes. 0-0: at once.")]
_Log = Annotated[str | None, typer.Option(metavar="FILE", help="Append one JSON line per request that did something.")]
_Data = Annotated[str | None, typer.Option(metavar="DIR", help="Keep its state here, and find it again.")]
_Faults = Annotated[str | None, typer.Option(metavar="FILE", help="A fault plan in TOML: what goes wrong, and when.")]


def sandbox(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1. 0: any free one.")] = 8765,
    application: _Applications = None,
    processing_seconds: _Seconds = "2-5",
    log: _Log = None,
    faults: _Faults = None,
    seed: Annotated[int, typer.Option(help="Processing times are drawn from this.")] = 0,
    quota: Annotated[int | None, typer.Option(help="Documents per application; beyond it tasks are Canceled.")] = None,
    keep_hours: Annotated[float, typer.Option(help="How long files are kept.")] = 336.0,
    max_files: Annotated[int, typer.Option(help="Files remembered; beyond it the oldest are forgotten.")] = 100_000,
    max_body_mib: Annotated[int, typer.Option(help="Largest upload, in MiB; beyond it 413.")] = 512,
    reader: Annotated[str, typer.Option(help="full, or none: exports carry the file name only (load tests).")] = "full",
    readers: Annotated[int, typer.Option(help="Child processes that read documents.")] = 1,
    reading_seconds: Annotated[float, typer.Option(help="Longest reading of one document.")] = 60.0,
    upload_answer: Annotated[str, typer.Option(help="array or object.")] = "array",
    progress: Annotated[str, typer.Option(help="fraction (0 to 1) or percent (0 to 100).")] = "fraction",
    new_first: Annotated[bool, typer.Option("--new-first", help="Tasks begin as New.")] = False,
    run_status: Annotated[str, typer.Option(help="200 or 201.")] = "200",
    delete_status: Annotated[str, typer.Option(help="200 or 204.")] = "204",
    extra_fields: Annotated[bool, typer.Option("--extra-fields", help="Answers carry fields nobody knows.")] = False,
    unknown_status: Annotated[
        bool, typer.Option("--unknown-status", help="A status nobody knows, on the way.")
    ] = False,
    hash_case: Annotated[str, typer.Option(help="lower or upper.")] = "upper",
    dates: Annotated[str, typer.Option(help="with-ms, without, or no-zone (neither milliseconds nor Z).")] = "with-ms",
    data: _Data = None,
    window_seconds: Annotated[float, typer.Option(help="How long a silent window keeps a verification page.")] = 75.0,
    openapi: Annotated[bool, typer.Option("--openapi", help="Print the interface as OpenAPI and end.")] = False,
    demo_application: Annotated[bool, typer.Option("--demo-application", help="Tasks say is_demo.")] = False,
) -> None:
    """The service's twin: needs no account, no network, no money. Prints its address, serves until told to stop."""
    if openapi:
        print_openapi()
        return
    from hopperd.sandbox.command import run_sandbox
    from hopperd.sandbox.config import MIB, SandboxUsage, config_from_options

    try:
        config = config_from_options(
            applications=application or (),
            processing_seconds=processing_seconds,
            log=log,
            faults=faults,
            tell=lambda sentence: print(sentence, file=sys.stderr),
            port=port,
            seed=seed,
            quota=quota,
            keep_hours=keep_hours,
            max_files=max_files,
            max_body_bytes=max_body_mib * MIB,
            reader=reader,
            readers=readers,
            reading_seconds=reading_seconds,
            upload_answer=upload_answer,
            progress=progress,
            new_first=new_first,
            run_status=run_status,
            delete_status=delete_status,
            extra_fields=extra_fields,
            unknown_status=unknown_status,
            hash_case=hash_case,
            dates=dates,
            data=data,
            window_seconds=window_seconds,
            demo_application=demo_application,
        )
    except SandboxUsage as usage:
        print(usage, file=sys.stderr)
        raise typer.Exit(2) from None
    raise typer.Exit(run_sandbox(config))


def print_openapi() -> None:
    """The twin's interface as OpenAPI in JSON, on stdout."""
    import json

    from hopperd.sandbox.openapi import document

    print(json.dumps(document(), indent=2))


if __name__ == "__main__":
    typer.run(sandbox)
