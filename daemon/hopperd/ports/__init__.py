"""What the workers see of the outside: the ledger, the service, the folders, the clock.

Protocols only, and the plain data that crosses them. The workers are written against these; app.py joins them to the
real disk, service and database, and the simulation joins them to simulated ones.
"""

from hopperd.ports.budget import Bears, Budget, Fleet, Need, Other, Reserved
from hopperd.ports.clock import Clock
from hopperd.ports.folders import (
    Candidate,
    Filed,
    Folders,
    FolderTrouble,
    Inbox,
    Inspector,
    LeftAlone,
    Leftover,
    NameTaken,
    Sighting,
    StagedJob,
    Survey,
    Swept,
    Verdict,
    WorkFound,
)
from hopperd.ports.ledger import (
    BacklogCell,
    Doubts,
    FolderMark,
    HistoryRow,
    JobQuery,
    Ledger,
    LedgerTrouble,
    LettersWaiting,
    Pause,
    WaitingLetter,
    Wanted,
)
from hopperd.ports.letters import Letters, NotTaken, Receiver
from hopperd.ports.nodes import ALONE, LEASE_SECONDS, Lease, Node
from hopperd.ports.service import CaptureService, ChangedUnderUs, Fetchable, ServiceTrouble, Source
from hopperd.ports.turns import Kind, Turns

__all__ = [
    "ALONE",
    "LEASE_SECONDS",
    "BacklogCell",
    "Bears",
    "Budget",
    "Candidate",
    "CaptureService",
    "ChangedUnderUs",
    "Clock",
    "Doubts",
    "Fetchable",
    "Filed",
    "Fleet",
    "FolderMark",
    "FolderTrouble",
    "Folders",
    "HistoryRow",
    "Inbox",
    "Inspector",
    "JobQuery",
    "Kind",
    "Lease",
    "Ledger",
    "LedgerTrouble",
    "LeftAlone",
    "Leftover",
    "Letters",
    "LettersWaiting",
    "NameTaken",
    "Need",
    "Node",
    "NotTaken",
    "Other",
    "Pause",
    "Receiver",
    "Reserved",
    "ServiceTrouble",
    "Sighting",
    "Source",
    "StagedJob",
    "Survey",
    "Swept",
    "Turns",
    "Verdict",
    "WaitingLetter",
    "Wanted",
    "WorkFound",
]
