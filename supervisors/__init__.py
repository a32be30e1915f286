"""How anything stays alive: actors, supervisors, and operating-system processes as children.

An actor is a plain class whose methods are its messages. A supervisor is a literal: children in order, restarted by
strategy within a restart intensity. `running(tree)` runs it. SEMANTICS.md says what is guaranteed. Imports the standard
library only. Apart from this front door: `supervisors.statem`, `supervisors.process` (launcher's side),
`supervisors.parent` (child's side), `supervisors.testing`.
"""

from supervisors.actor import Actor
from supervisors.backoff import Backoff
from supervisors.bonds import Timer
from supervisors.breaker import Breaker, BreakerState
from supervisors.bucket import Bucket
from supervisors.cell import Cancellable
from supervisors.census import Census, Counts, Failure
from supervisors.dynamic import Dynamic, DynamicRef
from supervisors.errors import (
    AlreadyPresent,
    AlreadyStarted,
    AskedItself,
    AskFailed,
    AskTimeout,
    BadSpec,
    ChildRestarting,
    ChildRunning,
    Gone,
    Interrupted,
    KernelError,
    NameTaken,
    NoSuchChild,
    Overloaded,
    Refused,
    StartFailed,
    TooManyChildren,
    TreeDown,
)
from supervisors.events import (
    BackingOff,
    ChildExited,
    ChildStarted,
    Event,
    GaveUp,
    Hook,
    LoopBlocked,
    LoopFreed,
    WouldNotStop,
    report,
)
from supervisors.exits import Crash, Exit, Killed, NoConnection, NoProc, Normal, Shutdown, is_abnormal
from supervisors.far import FarRef, Herald, tie
from supervisors.intensity import RestartWindow
from supervisors.life import IGNORE
from supervisors.mailbox import WhenFull
from supervisors.ref import Ref
from supervisors.registry import Name
from supervisors.running import Running, running
from supervisors.spec import BRUTAL_KILL, INFINITY, AutoShutdown, Child, Restart, Strategy
from supervisors.supervisor import Supervisor
from supervisors.system import System
from supervisors.watchdog import Watchdog

__all__ = [
    "Actor",
    "Ref",
    "Name",
    "FarRef",
    "Herald",
    "tie",
    "Timer",
    "Cancellable",
    "WhenFull",
    "IGNORE",
    "Child",
    "Restart",
    "AutoShutdown",
    "Strategy",
    "INFINITY",
    "BRUTAL_KILL",
    "Supervisor",
    "Dynamic",
    "DynamicRef",
    "System",
    "Running",
    "running",
    "Watchdog",
    "Exit",
    "Normal",
    "Shutdown",
    "Killed",
    "Crash",
    "NoProc",
    "NoConnection",
    "is_abnormal",
    "Event",
    "Hook",
    "ChildStarted",
    "ChildExited",
    "BackingOff",
    "GaveUp",
    "WouldNotStop",
    "LoopBlocked",
    "LoopFreed",
    "report",
    "Census",
    "Counts",
    "Failure",
    "KernelError",
    "AskFailed",
    "Gone",
    "AskTimeout",
    "Overloaded",
    "AskedItself",
    "Refused",
    "AlreadyStarted",
    "AlreadyPresent",
    "ChildRunning",
    "ChildRestarting",
    "NoSuchChild",
    "NameTaken",
    "TooManyChildren",
    "StartFailed",
    "TreeDown",
    "BadSpec",
    "Interrupted",
    "RestartWindow",
    "Backoff",
    "Breaker",
    "BreakerState",
    "Bucket",
]
