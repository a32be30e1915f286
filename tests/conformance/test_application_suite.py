"""OTP's application_SUITE, case by case, by its names: applications that start in order, need each other, and stop.

An application is a supervisor among the children of the root. To start it is start_child, or restart_child once it is
known; to stop it is terminate_child; to unload it is delete_child. Time is virtual.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from supervisors import (
    IGNORE,
    INFINITY,
    Actor,
    AlreadyPresent,
    AlreadyStarted,
    Child,
    ChildExited,
    ChildStarted,
    Crash,
    Exit,
    Gone,
    Killed,
    Name,
    NoProc,
    Normal,
    NoSuchChild,
    Ref,
    Restart,
    Shutdown,
    StartFailed,
    Supervisor,
    System,
    TreeDown,
    report,
    running,
)
from supervisors.testing import AsyncEcho, Boom, Echo, Recorder, virtual

E = TypeVar("E", bound=Exception)


class Application(Supervisor):
    """An application with one child, `ch`, unless others are given.

    `needs`: paths of those that must run when it begins; `does_without`: those of them that may be missing, or not run.
    `starting`: what its start does when its children are up.
    """

    def __init__(
        self,
        id: str,
        *children: Child[Actor],
        needs: tuple[str, ...] = (),
        does_without: tuple[str, ...] = (),
        starting: Callable[[], Any] = lambda: None,
        **flags: Any,
    ) -> None:
        super().__init__(children or [Child(Echo, id="ch")], id=id, **flags)
        self.needs = needs
        self.does_without = does_without
        self.starting = starting
        self.missed: list[str] = []

    async def init(self) -> Any:
        """Ask those it needs whether they run, then begin."""
        for path in self.needs:
            try:
                await self.system.ref(path, Supervisor).ask(Supervisor.count_children)
            except (NoSuchChild, Gone):
                if path not in self.does_without:
                    raise
                self.missed.append(path)
        await super().init()
        return self.starting()


def boom(*words: object) -> Any:
    """Fail."""
    raise Boom(*words)


async def started(system: System) -> list[str]:
    """Return which applications run (OTP: which_applications)."""
    return [row.path for row in await system.root.ask(Supervisor.which_children) if row.state == "running"]


async def ensure_started(system: System, app: Child[Supervisor]) -> Ref[Supervisor]:
    """Start an application unless it runs, and return when it does (OTP: application:ensure_started)."""
    try:
        return await system.root.ask(Supervisor.start_child, app)
    except AlreadyStarted:
        ref = system.ref(app.id, Supervisor)
        await ref.ask(Supervisor.count_children)
        return ref
    except AlreadyPresent:
        await system.root.ask(Supervisor.restart_child, app.id)
        return system.ref(app.id, Supervisor)


async def end(ref: Ref[Actor], reason: Exit) -> None:
    """Have an actor end for `reason`."""
    down = ref.down()
    ref.tell(Actor.stop, reason)
    assert await down == reason


async def fails(ask: Awaitable[object], error: type[E]) -> E:
    """Return the error that an ask fails with."""
    with pytest.raises(error) as failed:
        await ask
    return failed.value


def root_cause(error: BaseException) -> BaseException:
    """Return what an error has come of."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error


def now() -> float:
    return asyncio.get_running_loop().time()


# --- starting ---------------------------------------------------------------------------------------------------------


@virtual
async def test_ensure_started() -> None:
    """An application that runs is not started again, one that was stopped is; one that nobody knows is an error.

    Changed: an application is a child of the root, and to ensure it is to take AlreadyStarted for a yes.
    """
    recorder = Recorder()
    async with running(Supervisor(), hook=recorder) as system:
        temporary = replace(Application("app1").as_child, restart=Restart.TEMPORARY)
        ref = await ensure_started(system, temporary)
        assert await ensure_started(system, temporary) is ref
        assert (await fails(system.root.ask(Supervisor.start_child, temporary), AlreadyStarted)).child == "app1"
        assert len(recorder.of(ChildStarted, "app1")) == 1
        await system.root.ask(Supervisor.terminate_child, "app1")
        assert await started(system) == []

        permanent = Application("app1").as_child
        for n in (2, 3):
            assert await ensure_started(system, permanent) is await ensure_started(system, permanent)
            assert await started(system) == ["app1"]
            assert len(recorder.of(ChildStarted, "app1")) == n
            await system.root.ask(Supervisor.terminate_child, "app1")
            assert await started(system) == []
        await system.root.ask(Supervisor.delete_child, "app1")
        for unknown in ("app1", "hopefully_not_an_existing_app"):
            assert (await fails(system.root.ask(Supervisor.restart_child, unknown), NoSuchChild)).child == unknown


@virtual
async def test_otp_2718() -> None:
    """A transient application that fails while it starts is not ignored; one that ends normally is.

    Changed: the error is its starter's. Only when the tree itself starts it, or it crashes later, does the tree go.
    """
    normal = replace(Application("trans_normal", starting=lambda: IGNORE).as_child, restart=Restart.TRANSIENT)
    abnormal = replace(Application("trans_abnormal", starting=boom).as_child, restart=Restart.TRANSIENT)
    recorder = Recorder()
    async with running(Supervisor(), hook=recorder) as system:
        assert not (await system.root.ask(Supervisor.start_child, normal)).is_alive
        failed = await fails(system.root.ask(Supervisor.start_child, abnormal), StartFailed)
        assert isinstance(root_cause(failed), Boom)
        await asyncio.sleep(3.0)
        assert await started(system) == []
        assert (recorder.exits()["trans_normal"], recorder.exits()["trans_abnormal"]) == (Normal(), failed.exit)
        for app in ("trans_normal", "trans_abnormal"):  # what its start had begun has ended with it
            assert recorder.exits()[f"{app}/ch"] == Shutdown(), app

    recorder = Recorder()
    async with running(Supervisor([normal]), hook=recorder) as system:
        assert await started(system) == []
    failed = await fails(running(Supervisor([abnormal])).__aenter__(), StartFailed)
    assert isinstance(root_cause(failed), Boom)

    later = replace(Application("transient").as_child, restart=Restart.TRANSIENT)
    async with running(Supervisor([later], intensity=0)) as system:
        await end(system.ref("transient", Supervisor), Normal())
        await asyncio.sleep(2.0)
        assert system.root.is_alive
    with pytest.raises(TreeDown):  # noqa: PT012 - the tree goes while the body waits
        async with running(Supervisor([later], intensity=0)) as system:
            await end(system.ref("transient", Supervisor), Crash(Boom()))
            await asyncio.sleep(3.0)
            pytest.fail("the tree should have gone")


class Slow(Echo):
    """Takes a second to begin, or to fail when there is something to `fail` with."""

    def __init__(self, fail: type[Exception] | None = None) -> None:
        super().__init__()
        self.fail = fail

    async def init(self) -> None:
        """Wait, then begin, or fail."""
        await asyncio.sleep(1.0)
        if self.fail is not None:
            raise self.fail


@virtual
async def test_otp_2973() -> None:
    """Of two who start the same application at once both learn that it has started, or why it has not.

    Changed: the second is told that there is one; what it asks of that is answered, or fails, when the start is over.
    """
    recorder = Recorder()
    async with running(Supervisor(), hook=recorder) as system:
        app0 = Application("app0", Child(Slow, id="ch")).as_child
        first, second = await asyncio.gather(ensure_started(system, app0), ensure_started(system, app0))
        assert first is second is system.ref("app0", Supervisor)
        assert (now(), len(recorder.of(ChildStarted, "app0/ch"))) == (1.0, 1)
        await system.root.ask(Supervisor.terminate_child, "app0")

        app_start_error = Application("app_start_error", Child(lambda: Slow(Boom), id="ch")).as_child
        results = await asyncio.gather(
            ensure_started(system, app_start_error), ensure_started(system, app_start_error), return_exceptions=True
        )
        assert [type(result) for result in results] == [StartFailed, Gone]
        causes = {root_cause(result) for result in results if isinstance(result, Exception)}
        assert [type(cause) for cause in causes] == [Boom]  # one and the same
        assert now() == 2.0
        await fails(system.root.ask(Supervisor.restart_child, "app_start_error"), NoSuchChild)


@virtual
async def test_otp_4227() -> None:
    """An application does not start while one that it needs has not been started, or is dead; it is told which.

    Changed: it asks for the other one in its init. A temporary one that is dead is not known any more.
    """
    async with running(Supervisor()) as system:
        root, app9 = system.root, Application("app9", Child(Slow, id="ch")).as_child
        app10 = Application("app10", needs=("app9",)).as_child

        async def why_not() -> BaseException:
            return root_cause(await fails(root.ask(Supervisor.start_child, app10), StartFailed))

        not_started = await why_not()
        assert isinstance(not_started, NoSuchChild)
        assert not_started.child == "app9"

        await end(await root.ask(Supervisor.start_child, replace(app9, restart=Restart.TEMPORARY)), Killed())
        assert isinstance(await why_not(), NoSuchChild)

        await root.ask(Supervisor.start_child, app9)
        await root.ask(Supervisor.terminate_child, "app9")
        not_running = await why_not()
        assert isinstance(not_running, Gone)
        assert (not_running.path, not_running.reason) == ("app9", NoProc())

        restarted = root.ask(Supervisor.restart_child, "app9")
        waiting = asyncio.ensure_future(why_not())
        await asyncio.sleep(0.5)
        assert not waiting.done()  # it may still come up
        await root.ask(Supervisor.terminate_child, "app9")
        stopped = await waiting
        assert isinstance(stopped, Gone)
        assert (stopped.path, stopped.reason) == ("app9", Shutdown())
        await fails(restarted, StartFailed)

        await root.ask(Supervisor.restart_child, "app9")
        assert (await root.ask(Supervisor.start_child, app10)).is_alive


NISSE: Name[GroupLeader] = Name("nisse")


class GroupLeader(Echo):
    """Begins something beside its handlers, which begins something else."""

    def __init__(self, ended: list[str]) -> None:
        super().__init__()
        self.ended = ended

    def init(self) -> None:
        """Begin."""
        self.register(NISSE)
        _ = self.task(self.child())

    async def child(self) -> None:
        """Wait for a grandchild for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.grandchild())

    async def grandchild(self) -> None:
        """Wait for ever."""
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            self.ended.append("grandchild")


@virtual
async def test_otp_5363() -> None:
    """When an application is stopped, all that it has begun ends with it, what is no child of a supervisor as well.

    Changed: what belongs to it is found by its actors, of whose lives it is a part, and not by a group leader.
    """
    ended: list[str] = []
    async with running(Supervisor()) as system:
        assert await started(system) == []
        before = asyncio.all_tasks()
        leader = Application("group_leader", Child(lambda: GroupLeader(ended), id="group_leader"))
        await system.root.ask(Supervisor.start_child, leader.as_child)
        await asyncio.sleep(1.0)
        assert len(asyncio.all_tasks() - before) >= 2
        nisse = system.find(NISSE)
        assert nisse is not None
        down = nisse.down()
        await system.root.ask(Supervisor.terminate_child, "group_leader")
        assert await down == Shutdown()
        assert ended == ["grandchild"]
        assert system.find(NISSE) is None
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before


class Stopping(Echo):
    """Says when it is stopped."""

    def __init__(self, stopped: list[str]) -> None:
        super().__init__()
        self.stopped = stopped

    def terminate(self, reason: Exit) -> None:
        """Say it."""
        self.stopped.append(f"{self.ref.id}: {reason}")


@virtual
async def test_otp_16504() -> None:
    """When the one who keeps an application is killed, what is to be done when it stops is done.

    Changed: who keeps the tree is its body. Cancelled, it leaves an orderly stop; and when the root is killed, which
    kills the children with it, the body still learns of it, and cleans up.
    """
    stopped: list[str] = []
    tree = Supervisor([Application("app1", *(Child(lambda: Stopping(stopped), id=id) for id in ("left", "right")))])

    async def keep(up: asyncio.Future[System]) -> None:
        async with running(tree) as system:
            up.set_result(system)
            try:
                await asyncio.get_running_loop().create_future()
            finally:
                stopped.append("the body is left")

    up = asyncio.get_running_loop().create_future()
    master = asyncio.create_task(keep(up))
    await up
    master.cancel()
    await asyncio.wait({master})
    assert master.cancelled()
    assert stopped == ["the body is left", f"right: {Shutdown()}", f"left: {Shutdown()}"]

    stopped.clear()
    up = asyncio.get_running_loop().create_future()
    master = asyncio.create_task(keep(up))
    await end((await up).root, Killed())
    assert (await fails(master, TreeDown)).reason == Killed()
    assert stopped == ["the body is left"]


class Phased(Echo):
    """Begins in phases: it has those named in `phases`, each with the seconds that it takes, and fails in `boom`."""

    def __init__(self, log: list[str], **phases: float) -> None:
        super().__init__()
        self.log = log
        self.phases = phases

    async def init(self) -> None:
        """Take a second."""
        await asyncio.sleep(1.0)
        self.log.append(f"{self.ref.path} up")

    async def start_phase(self, phase: str) -> None:
        """Do what is to be done in it."""
        if phase in self.phases:
            await asyncio.sleep(self.phases[phase])
            self.log.append(f"{self.ref.path} {phase}")
            if phase == "boom":
                raise Boom

    def terminate(self, reason: Exit) -> None:
        """Say so."""
        self.log.append(f"{self.ref.path} down")


@virtual
async def test_start_phases() -> None:
    """The phases come when all are up, one after the other, each to all those who have it, from left to right.

    Changed: a phase is a message that the body sends. One that fails fails the body, and the tree is stopped.
    """
    log: list[str] = []

    def child(id: str, **phases: float) -> Child[Phased]:
        return Child(lambda: Phased(log, **phases), id=id, restart=Restart.TEMPORARY)

    some = child("ch", init=0.0, some=2.0, spec=0.0, go=0.0, boom=0.0)
    one, two = Application("one", child("ch", init=0.5, go=0.0)), Application("two", some, child("late", spec=0.0))
    paths = ("one/ch", "two/ch", "two/late")

    async def start_in(*phases: str) -> None:
        async with running(Supervisor([one, two])) as system:
            for phase in phases:
                for path in paths:
                    await system.ref(path, Phased).ask(Phased.start_phase, phase)
            log.append("started")

    up, down = [f"{path} up" for path in paths], [f"{path} down" for path in reversed(paths)]
    await start_in("init", "some", "spec", "go")
    spec = ["two/ch some", "two/ch spec", "two/late spec"]
    assert log == [*up, "one/ch init", "two/ch init", *spec, "one/ch go", "two/ch go", "started", *down]
    assert now() == pytest.approx(3 * 1.0 + 0.5 + 2.0)

    log.clear()
    failed = await fails(start_in("boom", "go"), Gone)
    assert isinstance(failed.__cause__, Boom)
    assert log == [*up, "two/ch boom", "two/ch down", "two/late down", "one/ch down"]


@virtual
async def test_ensure_all_started() -> None:
    """Those an application needs start before it, and only if they do not run; when one fails, no new one stays.

    Changed: what another one needs stands to the left of it, and those that start together are one supervisor.
    """
    missing = "hopefully_not_an_existing_app"
    recorder = Recorder()
    app9, app10 = Application("app9"), Application("app10", needs=("app9",))
    assert isinstance(root_cause(await fails(running(Supervisor([app10])).__aenter__(), StartFailed)), NoSuchChild)
    async with running(Supervisor([app9, app10]), hook=recorder) as system:
        assert recorder.started() == ["app9/ch", "app9", "app10/ch", "app10", "/"]
        recorder.events.clear()
        await system.root.ask(Supervisor.terminate_child, "app10")
        assert await started(system) == ["app9"]
        await ensure_started(system, app9.as_child)
        await ensure_started(system, app10.as_child)
        assert recorder.started() == ["app10/ch", "app10"]  # app9 did not need to
        await system.root.ask(Supervisor.terminate_child, "app9")
        assert await started(system) == ["app10"]

    chain = [
        Application("app_chain_error2", needs=("app9", missing)),
        Application("app_chain_error", needs=("app_chain_error2",)),
    ]
    recorder = Recorder()
    failed = await fails(running(Supervisor([app9, app10, *chain]), hook=recorder).__aenter__(), StartFailed)
    assert isinstance(cause := root_cause(failed), NoSuchChild)
    assert cause.child == missing
    assert recorder.started() == ["app9/ch", "app9", "app10/ch", "app10"]
    ends = [path for path in recorder.exits() if not path.endswith("/ch")]
    assert ends == ["app_chain_error2", "app10", "app9", "/"]  # the one that failed, then right to left
    assert asyncio.all_tasks() == {asyncio.current_task()}

    recorder = Recorder()
    async with running(Supervisor([app9]), hook=recorder) as system:
        group = Supervisor([app10, *chain], id="group")
        failed = await fails(system.root.ask(Supervisor.start_child, group.as_child), StartFailed)
        assert isinstance(root_cause(failed), NoSuchChild)
        assert recorder.exits()["group/app10"] == Shutdown()
        assert await started(system) == ["app9"]  # it ran before
        assert len(recorder.of(ChildStarted, "app9")) == 1


# --- stopping ---------------------------------------------------------------------------------------------------------


class ShutdownFunc(Echo):
    """Is called when all is to stop, and waits until it may."""

    def __init__(self, called: asyncio.Future[Exit], may_stop: asyncio.Event) -> None:
        super().__init__()
        self.called = called
        self.may_stop = may_stop

    async def terminate(self, reason: Exit) -> None:
        """Be called."""
        self.called.set_result(reason)
        await self.may_stop.wait()


@virtual
async def test_shutdown_func() -> None:
    """What is to be done before all stops is called with the reason, and waited for; the others run meanwhile.

    Changed: it is the terminate of the last child, which is the first to be stopped.
    """
    called, may_stop, recorder = asyncio.get_running_loop().create_future(), asyncio.Event(), Recorder()
    last = Child(lambda: ShutdownFunc(called, may_stop), id="shutdown_func", shutdown=INFINITY)

    async def node(up: asyncio.Future[System]) -> None:
        async with running(Supervisor([Application("app1"), last]), hook=recorder) as system:
            up.set_result(system)

    up = asyncio.get_running_loop().create_future()
    stopping = asyncio.create_task(node(up))
    system = await up
    assert await called == Shutdown()
    assert await system.ref("app1/ch", Echo).ask(Echo.add) == 1
    await asyncio.sleep(3600.0)
    assert (stopping.done(), recorder.exits()) == (False, {})
    may_stop.set()
    await stopping
    assert list(recorder.exits()) == ["shutdown_func", "app1/ch", "app1", "/"]


class Deadlocked(Echo):
    """Begins once; after that its init hangs, and does not let itself be cancelled when it `is_deaf`."""

    def __init__(self, lives: list[None], is_deaf: bool) -> None:
        super().__init__()
        self.lives = lives
        self.is_deaf = is_deaf

    async def init(self) -> None:
        """Begin, or hang."""
        self.lives.append(None)
        while len(self.lives) > 1:
            try:
                await asyncio.sleep(36_000.0)
            except asyncio.CancelledError:
                if not self.is_deaf:
                    raise


@pytest.mark.parametrize("is_deaf", [False, True])
@virtual
async def test_shutdown_timeout(is_deaf: bool) -> None:
    """All stops within a time, though a supervisor is bringing back a child whose init hangs.

    Changed: the time is the sum of the children's, each of which has its own. Only who is deaf needs it.
    """
    lives: list[list[None]] = [[], []]

    def deadlock(n: int) -> Application:
        child = Child(lambda: Deadlocked(lives[n], is_deaf), id="ch", shutdown=1.0, start_timeout_s=INFINITY)
        return Application(f"deadlock{n}", child)

    recorder = Recorder()
    async with running(Supervisor([deadlock(0), deadlock(1)]), hook=recorder) as system:
        for n in (0, 1):
            system.ref(f"deadlock{n}/ch", Echo).tell(Echo.boom)
        await asyncio.sleep(60.0)
        assert [len(life) for life in lives] == [2, 2]
        assert [row.children[0].state for row in system.census().children] == ["restarting", "restarting"]
    assert now() - 60.0 == pytest.approx(2 * 1.0 if is_deaf else 0.0)
    assert list(recorder.exits()) == ["deadlock1/ch", "deadlock1", "deadlock0/ch", "deadlock0", "/"]
    assert isinstance(recorder.exits()["deadlock0/ch"], Killed if is_deaf else Shutdown)
    assert not system.abandoned


class Waiting(Echo):
    """Waits in its terminate until it may go on."""

    def __init__(self, is_waiting: asyncio.Event, may_go_on: asyncio.Event) -> None:
        super().__init__()
        self.is_waiting = is_waiting
        self.may_go_on = may_go_on

    async def terminate(self, reason: Exit) -> None:
        """Wait."""
        self.is_waiting.set()
        await self.may_go_on.wait()


class Stopper(AsyncEcho):
    """Stops what it is part of."""

    async def stop_application(self) -> None:
        """Stop its application, and wait for that."""
        await self.system.root.ask(Supervisor.terminate_child, "deadlock")

    async def stop_system(self) -> None:
        """Stop everything, and wait for that."""
        down = self.system.root.down()
        self.system.root.tell(Actor.stop)
        await down


@virtual
async def test_shutdown_deadlock() -> None:
    """While an application waits to be stopped, whoever asks about it or the others is answered; then it is stopped.

    Changed: who asks the one that stops is told that it is gone. Beyond OTP: an actor may wait for its own stop.
    """
    is_waiting, may_go_on = asyncio.Event(), asyncio.Event()
    child = Child(lambda: Waiting(is_waiting, may_go_on), id="ch", shutdown=INFINITY)
    async with running(Supervisor([Application("other"), Application("deadlock", child)])) as system:
        root, deadlock = system.root, system.ref("deadlock", Supervisor)

        async def states() -> dict[str, str]:
            return {row.path: row.state for row in await root.ask(Supervisor.which_children)}

        stopped = root.within(INFINITY).ask(Supervisor.terminate_child, "deadlock")
        await is_waiting.wait()
        assert await states() == {"other": "running", "deadlock": "stopping"}
        assert [row.state for row in system.census().children[1].children] == ["stopping"]
        assert (await root.ask(Supervisor.get_childspec, "deadlock")).id == "deadlock"
        assert (await fails(deadlock.ask(Supervisor.which_children), Gone)).reason == NoProc()
        assert (await system.ref("other", Supervisor).ask(Supervisor.count_children)).active == 1
        assert now() == 0.0
        await asyncio.sleep(3600.0)
        assert not stopped.done()
        may_go_on.set()
        await stopped
        assert await states() == {"other": "running", "deadlock": "stopped"}

    tree = Supervisor([Application("other"), Application("deadlock", Child(Stopper, id="ch"))])
    async with running(tree) as system:
        began_at = now()
        gone = await fails(system.ref("deadlock/ch", Stopper).ask(Stopper.stop_application), Gone)
        assert (gone.reason, now()) == (Shutdown(), began_at)
        await asyncio.sleep(1.0)
        assert await started(system) == ["other"]
    with pytest.raises(TreeDown) as fell:  # noqa: PT012 - the tree goes while the body waits
        async with running(tree) as system:
            system.ref("deadlock/ch", Stopper).tell(Stopper.stop_system)
            await asyncio.sleep(1.0)
            pytest.fail("the tree should have gone")
    assert fell.value.reason == Normal()


# --- configuration, options and reports -------------------------------------------------------------------------------


@virtual
async def test_optional_applications() -> None:
    """One that is needed must run; one that is optional may be missing, or be stopped, but not fail to start.

    Changed: who can do without another asks for it in its init all the same; who has nothing to do says IGNORE.
    """
    required = Application("app10", needs=("app9",)).as_child
    optional = Application("app10", needs=("app9",), does_without=("app9",))

    async def missed(system: System) -> list[str]:
        return await system.ref("app10", Application).ask(lambda app: app.missed)

    async with running(Supervisor()) as system:
        await fails(system.root.ask(Supervisor.start_child, required), StartFailed)
        await system.root.ask(Supervisor.start_child, optional.as_child)
        assert (await started(system), await missed(system)) == (["app10"], ["app9"])

    optional = Application("app10", needs=("app9",), does_without=("app9",))
    async with running(Supervisor([Application("app9", starting=lambda: IGNORE), optional])) as system:
        assert (await started(system), await missed(system)) == (["app10"], ["app9"])

    optional = Application("app10", needs=("app9",), does_without=("app9",))
    async with running(Supervisor([Application("app9"), optional])) as system:
        assert (await started(system), await missed(system)) == (["app9", "app10"], [])

    recorder, tree = Recorder(), Supervisor([Application("app9", starting=boom), optional])
    failed = await fails(running(tree, hook=recorder).__aenter__(), StartFailed)
    assert isinstance(root_cause(failed), Boom)
    assert "app10" not in recorder.started()


async def happened(app: Application) -> Recorder:
    """Return what happened to an application, which starts or not, until all has stopped."""
    recorder = Recorder()
    async with running(Supervisor(), hook=recorder) as system:
        try:
            await system.root.ask(Supervisor.start_child, app.as_child)
        except StartFailed:
            return recorder
        await end(system.ref("my_application", Supervisor), Shutdown("exited"))
    return recorder


TERM = [*range(1, 16)]


@virtual
async def test_format_log_1() -> None:
    """A report of an application has its name and why it has ended, or that it has started, and keeps to a depth.

    Changed: a report is an event. Of what kind an application is, and on which node it has started, is not in it.
    """
    failed = await happened(Application("my_application", starting=lambda: boom(TERM)))
    (event,) = failed.of(ChildExited, "my_application")
    told = "supervisor: /; context: start_error; reason: Boom({}); offender: my_application; during: init"
    assert report(event, depth=15) == told.format(TERM)
    assert report(event, depth=9) == told.format("[1, 2, 3, 4, 5, 6, 7, 8, 9, ...]")
    assert report(event) == told.format("[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, ...]")

    fine = await happened(Application("my_application", restart=Restart.TEMPORARY))
    (progress,), (exited,) = fine.of(ChildStarted, "my_application"), fine.of(ChildExited, "my_application")
    assert report(progress) == "supervisor: /; started: my_application; restarts: 0"
    assert report(exited) == (
        "supervisor: /; context: child_terminated; reason: Shutdown(detail='exited'); offender: my_application"
    )


@virtual
async def test_format_log_2() -> None:
    """The text of a report has a line for each field, or is one line; it keeps to a depth and to a size.

    Changed: a report is an event, and the names of its fields are the same in both forms.
    """
    failed = await happened(Application("my_application", starting=lambda: boom(TERM)))
    (event,), (progress,) = failed.of(ChildExited, "my_application"), failed.of(ChildStarted, "/")
    lines = "supervisor: /\ncontext: start_error\nreason: Boom({})\noffender: my_application\nduring: init"
    assert report(event, lines=True, depth=15) == lines.format(TERM)
    assert report(event, lines=True, depth=9) == lines.format("[1, 2, 3, 4, 5, 6, 7, 8, 9, ...]")
    assert report(event, lines=True, depth=15, limit=200) == lines.format(TERM)
    short = report(event, lines=True, depth=15, limit=100)
    assert short == lines.format(TERM).replace(str(TERM) + ")", short.split("Boom(")[1].split("\n")[0])
    assert len(short) == 100

    line = report(event, depth=15)
    assert line == lines.format(TERM).replace("\n", "; ")
    assert len(report(event, depth=15, limit=100)) == 100
    assert report(event, depth=15, limit=100).endswith("...; offender: my_application; during: init")
    assert report(event, depth=15, limit=20) == "supervisor: /; co..."
    assert report(progress, lines=True) == "started: /\nrestarts: 0"
    assert report(progress, limit=12) == "started: ..."
