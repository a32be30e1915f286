"""SIP as a user agent speaks it: legs that call (`Uac`) and are called (`Uas`), registration, a front door.

From the bottom: `syntax` and `message` read, `build` and `dialog` write, `transaction` repeats, `requests` and
`replies` keep the transactions of a leg, `base`, `confirmed`, `uac`, `uas` are the leg, `leg` has its words. Beside
them `sdp`, `auth`, `timers`, `causes` and `scope` each know one thing. Our scope is UDP, one line of G.711 audio, no
reliable provisional responses.
"""

from protocols.sip.auth import Challenger, Credentials, Verdict
from protocols.sip.build import Entropy, Local
from protocols.sip.causes import Disposition
from protocols.sip.dialog import Dialog
from protocols.sip.leg import (
    Accept,
    Answered,
    Dial,
    EarlyMedia,
    Ended,
    Finished,
    HangUp,
    Invited,
    LegEvent,
    LegInput,
    LegPhase,
    LegRecord,
    MediaChanged,
    Offer,
    OfferRefused,
    Received,
    Reject,
    Renumber,
    Ring,
    Ringing,
    Side,
    TakeOver,
    TakeoverStage,
)
from protocols.sip.message import Request, Response
from protocols.sip.registration import Register, Registered, Registration, RegistrationFailed, Unregister, Unregistered
from protocols.sip.responder import Responder
from protocols.sip.sdp import Listening, LocalMedia, Media
from protocols.sip.uac import Uac
from protocols.sip.uas import Uas

__all__ = [
    "Responder", "Request", "Response",
    "Uac", "Uas", "Local", "Entropy", "Credentials", "Listening",
    "Received", "Dial", "Ring", "Accept", "Reject", "HangUp", "Offer", "TakeOver", "Renumber", "LegInput",
    "Invited", "Ringing", "EarlyMedia", "Answered", "MediaChanged", "OfferRefused", "Ended", "Finished", "LegEvent",
    "Media", "LocalMedia", "Dialog", "LegRecord", "LegPhase", "Side", "Disposition", "TakeoverStage",
    "Registration", "Register", "Unregister", "Registered", "RegistrationFailed", "Unregistered",
    "Challenger", "Verdict",
]  # fmt: skip
