"""The two buses, and what drives a machine over a socket.

`mesh` asks and tells other processes over ZeroMQ; `roster` says which there are; `bus` is what the cluster knows, over
NATS; `pump` drives any machine of `protocols` over UDP. Import them by module: the launcher may not pay for all.
"""

from nodes.links.errors import AskTimeout, BusAway, LayoutMismatch, LinkError, PeerGone, Refused, ServerTooOld

__all__ = ["LinkError", "PeerGone", "AskTimeout", "Refused", "BusAway", "ServerTooOld", "LayoutMismatch"]
