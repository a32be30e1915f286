"""Kamailio as a carrier: who has registered, and knows the password (401, 407), is connected with one telephone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.journeys.peers.programs import HOST, program

TEMPLATE = Path(__file__).with_suffix(".cfg")


@dataclass(frozen=True)
class Account:
    """What the carrier has given us, as the node's configuration wants it."""

    port: int
    user: str = "ringmaster"
    password: str = "correct horse"

    @property
    def settings(self) -> str:
        """Return the table of this trunk."""
        return (
            f'[[sip.trunks]]\nname = "carrier"\nhost = "{HOST}"\nport = {self.port}\n'
            f'user = "{self.user}"\npassword = "{self.password}"\nregister = true\n'
        )

    def uri(self, number: str) -> str:
        """Return what is dialled for a number of this carrier."""
        return f"sip:{number}@{HOST}:{self.port}"


@asynccontextmanager
async def kamailio(account: Account, telephone: str, directory: Path) -> AsyncIterator[None]:
    """Run the carrier; every call goes to the URI `telephone`."""
    words = {"PORT": str(account.port), "REALM": "carrier.test", "TELEPHONE": telephone}
    words |= {"USER": account.user, "PASSWORD": account.password}
    text = TEMPLATE.read_text()
    for word, value in words.items():
        text = text.replace(word, value)
    config, run = directory / "kamailio.cfg", directory / "kamailio"
    config.write_text(text)
    run.mkdir()
    argv = ["kamailio", "-f", str(config), "-DD", "-E", "-m", "32", "-M", "4", "-Y", str(run)]
    async with program(argv, account.port, directory / "kamailio.log"):
        yield


__all__ = ["Account", "kamailio"]
