"""Being known at a carrier: the actor around `protocols.sip.Registration`, one for each trunk that wants it.

Each active edge of a node registers, with the address of its own socket as a contact beside those of the others; and
its successor anew: both have that one address, so neither takes it back. What the carrier knows of a node that has gone
runs out by itself, after 300 s at the latest.
"""

from __future__ import annotations

import os
import time
from typing import Final

from nodes import config
from nodes.edge.trunk import Endpoint, Trunk, Unreachable
from nodes.telemetry import logs
from protocols.machine import Address, Expired, Notify, Transmit
from protocols.sip import Received, Register, Registered, Registration, RegistrationFailed, Request, Response
from supervisors import Exit

log = logs.get(__name__)
LOOK_UP_AGAIN_S: Final = 30.0


class TrunkRegistration(Endpoint):
    """Keeps one trunk registered, for as long as it lives."""

    def __init__(self, trunk: Trunk, account: config.Trunk) -> None:
        self._trunk, self._account = trunk, account
        self._machine: Registration | None = None

    def init(self) -> None:
        """Begin: a carrier that cannot be reached keeps nobody waiting."""
        self.defer(TrunkRegistration.begin)

    def terminate(self, reason: Exit) -> None:
        """The trunk need not look for us any more."""
        if self._machine:
            self._trunk.detach(self._machine.sip_call_id, self.ref)
        self._trunk.registered.discard(self._account.name)

    async def begin(self) -> None:
        """Find the carrier and register."""
        account, registrar = self._account, f"sip:{self._account.host}:{self._account.port}"
        try:
            hop = await self._trunk.next_hop(registrar)
            local = self._trunk.local(hop)
        except Unreachable as error:
            log.warning("trunk.not_registered", trunk=account.name, reason=str(error))
            self.after(LOOK_UP_AGAIN_S, TrunkRegistration.begin)
            return
        self._machine = Registration(local, os.urandom, self._trunk.credentials(account.name))
        self._trunk.attach(self._machine.sip_call_id, self.ref)
        self._step(Register(registrar, f"sip:{account.user or local.user}@{account.host}", hop))

    def received(self, message: Request | Response, source: Address) -> None:
        """The carrier answers."""
        self._step(Received(message, source))

    def expired(self) -> None:
        """The machine's deadline has passed."""
        self._step(Expired())

    def _step(self, given: Register | Received | Expired) -> None:
        if self._machine is None:
            return
        for effect in self._machine.step(given, time.monotonic()):
            match effect:
                case Transmit(data=data, to=to) if to is not None:
                    self._trunk.send(data, to)
                case Notify(event=Registered(expires_s=expires_s)):
                    self._trunk.registered.add(self._account.name)
                    log.info("trunk.registered", trunk=self._account.name, expires_s=expires_s)
                case Notify(event=RegistrationFailed(code=code)):
                    self._trunk.registered.discard(self._account.name)
                    log.warning("trunk.not_registered", trunk=self._account.name, code=code)
                case _:
                    pass
        self.wake(self._machine.deadline)


__all__ = ["TrunkRegistration"]
