"""What the settings say, in the words of the rules and of the limits."""

from __future__ import annotations

from hopperd.capture.admission import Limits
from hopperd.capture.wire import verification_base
from hopperd.pipeline.job import Policy
from hopperd.settings import Account, Folder, Settings


def policy_of(folder: Folder, account: Account) -> Policy:
    """What a folder's settings say about the rules."""
    return Policy(
        on_doubt=folder.on_doubt,
        doubts_allowed=folder.doubts_allowed,
        on_duplicate=folder.on_duplicate,
        on_taken=folder.on_taken,
        export_name=folder.export_name,
        keep_remote=folder.keep_remote,
        after=folder.after,
        verification_base=verification_base(account.url),
    )


def policies_of(settings: Settings) -> dict[str, Policy]:
    return {folder.name: policy_of(folder, settings.accounts[folder.account]) for folder in settings.folders}


def limits_of(account: Account) -> Limits:
    return Limits(
        requests_per_second=account.requests_per_second,
        uploads_at_once=account.uploads_at_once,
        fetches_at_once=account.fetches_at_once,
        tasks_in_flight=account.tasks_in_flight,
    )
