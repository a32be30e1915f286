"""`ringmaster speech`: which recognisers there are, which of them hears whom, and to change that while calls are up.

What `use` changes is `speech.use` of the settings that change while nodes run: a version as any other, which
`ringmaster config history` has, and can bring back.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from nodes.commands.actions import actions
from nodes.commands.client import Client, NotUp, configured, connected
from nodes.commands.config import put, versions
from nodes.commands.terminal import ENDING, emit
from nodes.config import Config
from nodes.config_running import over, with_use
from nodes.config_speech import Use
from nodes.errors import NodeError
from nodes.links.errors import LinkError
from protocols.wire.messages import GetStatus

ACTIONS: Final = {
    "list": "the recognisers of this node, who is heard by which, and how many callers are just now",
    "use": "have calls be heard by another recogniser, from their next question on",
    "check": "hold a recogniser to its contract, here and without a node; status 1 when it does not keep it",
}


class NoSuchRecogniser(NodeError):
    """This node has no processes of it."""


def describe(parser: argparse.ArgumentParser) -> None:
    """What is done, with which recogniser."""
    for name, one in actions(parser, ACTIONS):
        if name != "list":
            one.add_argument("engine", metavar="ENGINE", help="kaldi, or the name of one of speech.engines")
        if name == "use":
            share = "so many of a hundred calls, always the same; the others are heard by kaldi; default: all"
            one.add_argument("--percent", type=_percent, default=100.0, metavar="N", help=share)
            one.add_argument("--campaign", default="", metavar="C", help="its calls; default: all others")
            one.add_argument("--why", default="", help="a note that is kept with the version")
        if name == "check":
            one.add_argument("--model", type=Path, metavar="DIR", help="its model; default: what it brings")
        one.add_argument("--json", action="store_true", help="JSON")


def _percent(text: str) -> float:
    if not 0 <= (found := float(text.removesuffix("%"))) <= 100:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 100")
    return found


def run(args: argparse.Namespace) -> int:
    """Do it. Raises: NodeError."""
    if args.action == "check":
        return _check(args)
    return ENDING.run(_run(configured(args), args))


def _check(args: argparse.Namespace) -> int:
    from nodes.speech.contract import findings  # numpy, for one action of this command

    n_wrong = 0
    for found in findings(args.engine, args.model):
        n_wrong += bool(found.wrong)
        if args.json:
            emit({"check": found.check, "wrong": found.wrong, "cpu_ms": found.cpu_ms})
        else:
            print(f"{'NO ' if found.wrong else 'yes'}  {found.check}" + (f": {found.wrong}" if found.wrong else ""))
    return 1 if n_wrong else 0


async def _run(config: Config, args: argparse.Namespace) -> int:
    if args.action == "list":
        return await _list(config, args.json)
    if args.engine not in config.speech.names:
        raise NoSuchRecogniser(f"{args.engine} is none of speech.engines; there are {', '.join(config.speech.names)}")
    async with connected(config) as client:
        now = (await versions(client))[-1]
        settings = with_use(config, now.settings, Use(args.engine, args.percent, args.campaign))
        return await put(client, now, None, settings, args.why or _in_words(args), is_json=args.json)


def _in_words(args: argparse.Namespace) -> str:
    of = f" of campaign {args.campaign}" if args.campaign else ""
    return f"{args.percent:g} % of calls{of} heard by {args.engine}"


async def _list(config: Config, is_json: bool) -> int:
    processes: dict[str, dict[str, float | None]] = {name: {} for name in config.speech.names}
    speech = config.speech
    try:
        async with connected(config) as client:
            speech = over(config, (await versions(client))[-1].settings).speech
            for peer in client.roster().active("speech"):
                processes[speech.of_process(peer.name).name][peer.name] = await _channels(client, str(peer.identity))
    except NotUp:
        pass  # what the file says
    uses = [{"engine": one.engine, "percent": one.percent, "campaign": one.campaign} for one in speech.use]
    if is_json:
        emit({"recognisers": processes, "use": uses})
        return 0
    for name, its in processes.items():
        heard = ", ".join(f"{one} hears {n:g}" if n is not None else f"{one} does not answer" for one, n in its.items())
        print(f"{name}: {heard or 'no process is up'}")
    for one in speech.use:
        whose = f"campaign {one.campaign}" if one.campaign else "all other calls"
        print(f"{whose}: {one.percent:g} % heard by {one.engine}")
    return 0


async def _channels(client: Client, peer: str) -> float | None:
    try:
        return (await client.mesh.ask(peer, GetStatus(), timeout_s=2.0)).figures.get("channels", 0.0)  # type: ignore[arg-type]
    except LinkError:
        return None


__all__ = ["describe", "run"]
