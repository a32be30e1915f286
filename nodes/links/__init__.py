"""What is built on the two buses: who is in the cluster and what they know of each other. Their errors, for both.

`nodes.mesh` asks and tells other processes over ZeroMQ; `nodes.bus` is what the cluster knows, over NATS. Here are the
roster, members and the spokesman, the views, the do-not-call list, settings, recordings. Import them by module: the
launcher may not pay for all.
"""

from nodes.links.errors import AskTimeout, BusAway, LayoutMismatch, LinkError, PeerGone, Refused, ServerTooOld

__all__ = ["LinkError", "PeerGone", "AskTimeout", "Refused", "BusAway", "ServerTooOld", "LayoutMismatch"]
