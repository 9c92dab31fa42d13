"""TOML, environment and secrets → frozen settings; or every mistake at once, each as a sentence.

`models` and `folder` say which keys there are, `values` and `checks` what they may be, `environment` and `tokens` where
else they come from, `overlaps` which paths must not meet, `loading` joins them, `reload` says what SIGHUP may change,
`reference` prints what can be set. No secret ever stands in a file of ours, a log or the text of an error.
"""

from hopperd.settings.folder import Folder, StuckAfter
from hopperd.settings.loading import DEFAULT_PLACES, load, mistakes_of, state_folder
from hopperd.settings.models import Account, InspectionSettings, LogSettings, Settings, WebSettings
from hopperd.settings.reference import reference_text, schema
from hopperd.settings.reload import changes, reloaded
from hopperd.settings.telling import HistoryLimits, NoticesSettings

__all__ = [
    "DEFAULT_PLACES",
    "Account",
    "Folder",
    "HistoryLimits",
    "InspectionSettings",
    "LogSettings",
    "NoticesSettings",
    "Settings",
    "StuckAfter",
    "WebSettings",
    "changes",
    "load",
    "mistakes_of",
    "reference_text",
    "reloaded",
    "schema",
    "state_folder",
]
