"""What `ringmaster up` prints: where the parts of the node are, and when calls can be placed. Data in, text out.

A part of the launcher, too: the configuration and the standard library.
"""

from __future__ import annotations

from collections.abc import Sequence

from nodes.config import Config


def greeting(config: Config, desk_url: str, sip_ports: Sequence[int], nats_url: str, after_s: float) -> str:
    """Return the lines, of what this node does. `desk_url` ends with a slash; empty: the desk is not up yet.

    `sip_ports`: of its edges.

    >>> print(greeting(Config(), "http://127.0.0.1:8080/", [5060], "nats://127.0.0.1:4222", 6.21), end="")
    up after 6.2 s; Ctrl-C ends it
      agents     http://127.0.0.1:8080/agent    sign in as a user: ringmaster user add NAME --role agent
      try it     http://127.0.0.1:8080/phone#TOKEN    it calls your browser; TOKEN is in var/run/token
      API        http://127.0.0.1:8080/api      and /metrics, /healthz, /readyz
      SIP        127.0.0.1:5060                 ringmaster call sip:NAME@HOST
      NATS       nats://127.0.0.1:4222          XDG_CONFIG_HOME=var nats --context viewer
      state      var
    """
    ports = ",".join(map(str, sip_ports))
    token, desk = config.paths.run / "token", desk_url or "(desk is not up yet) /"
    pages = {
        "agents": (f"{desk}agent", "sign in as a user: ringmaster user add NAME --role agent"),
        "try it": (f"{desk}phone#TOKEN", f"it calls your browser; TOKEN is in {token}"),
        "API": (f"{desk}api", "and /metrics, /healthz, /readyz"),
    }
    rows = {
        **(pages if "desk" in config.node.roles else {}),
        **({"SIP": (f"{config.sip.bind}:{ports}", "ringmaster call sip:NAME@HOST")} if ports else {}),
        "NATS": (nats_url, f"XDG_CONFIG_HOME={config.paths.state} nats --context viewer" if config.has_server else ""),
        "state": (str(config.paths.state), ""),
    }
    lines = [f"up after {after_s:.1f} s; Ctrl-C ends it"]
    lines += [f"  {name:<9}  {where:<27}    {what}".rstrip() for name, (where, what) in rows.items()]
    return "\n".join(lines) + "\n"


def ready(after_s: float) -> str:
    """Return the line that says that calls can be placed: engines, prompts, trunks and NATS are there.

    >>> print(ready(7.94), end="")
    ready after 7.9 s: calls can be placed
    """
    return f"ready after {after_s:.1f} s: calls can be placed\n"


__all__ = ["greeting", "ready"]
