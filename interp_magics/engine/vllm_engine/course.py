"""One run of the engine on a flight that others may share: its tasks, stage by stage, each told of as it ends."""

from collections.abc import Sequence

from ...errors import Cancelled
from ...program.cards import ModelCard
from ...program.language import Program
from ...program.supports import check
from ..execution.plan import bind_stage, encode_rows, fetcher
from ..execution.running import Running
from ..protocol import DEVICE_FAULTS, Host, Outcome, Task, Wish
from ..ranks import out_of_step
from ..readout import Readout
from ..tokens import Tokens
from .flight import Flight, Going
from .holding import MOST_ROWS, Room, held_bytes

_CANCELLED = "the job was cancelled while it ran"


class Course:
    """The tasks of one run, those that join it included; they are numbered in the order in which they come."""

    def __init__(self, flight: Flight, card: ModelCard, tokens: Tokens, readout: Readout, host: Host) -> None:
        self._flight, self._card, self._tokens, self._readout = flight, card, tokens, readout
        self.host = host
        self._come = self._left = 0

    def run(self, tasks: Sequence[Task]) -> None:
        """Run the tasks and what joins them; the host is told of each as it ends. Those of a run that this one interrupts go on
        meanwhile."""
        try:
            self._begin(tasks)
            while self._left:
                self._step()
                if self._left:
                    self._ask()
        finally:
            self._flight.leave([going for going in self._flight.going if going.owner is self])

    def over(self, going: Going, error: Exception | None) -> None:
        """Go on with the next stage of a task, or tell what it gave or what was wrong."""
        running = going.running
        if error is not None:
            self._end(running, error)
        elif running.last:
            self._end(running, running.outcome())
        else:
            running.stage, running.told = running.stage + 1, -1
            self._enter(running)

    def failed(self, going: Going, error: Exception) -> None:
        """Tell that a task will not go on."""
        self._end(going.running, error)

    def _begin(self, tasks: Sequence[Task]) -> None:
        self._left += len(tasks)
        self._come += len(tasks)
        for number, task in enumerate(tasks, self._come - len(tasks)):
            try:
                check(task.program, self._card)
                running = Running(number, task.program, encode_rows(task.program, self._tokens, self._card), task)
            except Exception as error:
                self._left -= 1
                self.host.finished(number, self._own(error))
            else:
                self._enter(running)

    def _enter(self, running: Running) -> None:
        """Ask for the present stage of a task."""
        fetch = fetcher(running.task.objects, running.kept, self._readout.weight.device)
        try:
            bound = bind_stage(running.asked, running.encoded, self._card, fetch)
            self._flight.add(running, bound, self, held_bytes(running.program, _prompts(running), self._card))
        except Exception as error:
            self._end(running, self._own(error))

    def _end(self, running: Running, result: Outcome | Exception) -> None:
        self._left -= 1
        self.host.finished(running.number, result)
        running.end()

    def _step(self) -> None:
        """Run the engine once. After a fault each task that was under way runs alone, so that one fails and no other."""
        try:
            ended = self._flight.step()
        except Exception as error:
            self._own(error)
            left = self._flight.begin_anew()
            lean = error.with_traceback(None)
            if len(left) == 1:
                left[0].owner.failed(left[0], lean)
                return
            # What follows a stage begins when all have been tried, so that nothing is beside them.
            for again, fault in [self._alone(going) for going in left]:
                if again in left:
                    again.owner.failed(again, fault or lean)
                else:
                    again.owner.over(again, fault)
            return
        self._over(ended)

    def _over(self, ended: Sequence[Going]) -> None:
        """What has ended in one step is read, then let go of together."""
        errors = [self._collected(going) for going in ended]
        self._flight.leave(ended)
        for going, error in zip(ended, errors, strict=True):
            going.owner.over(going, error)

    def _alone(self, going: Going) -> tuple[Going, Exception | None]:
        """The stage of a task in a flight of its own, and what was wrong; the task as it was when it could not be run."""
        going.running.restart()
        try:
            again = self._flight.add(going.running, going.part.stage, going.owner, going.held)
            while again not in self._flight.step():
                if going.owner.host.cancelled(going.running.number):
                    self._flight.leave([again])
                    return going, Cancelled(_CANCELLED)
        except Exception as error:
            self._own(error)
            self._flight.begin_anew()
            return going, error.with_traceback(None)
        fault = self._collected(again)
        self._flight.leave([again])
        return again, fault

    def _collected(self, going: Going) -> Exception | None:
        try:
            return self._flight.collect(going)
        except Exception as error:
            return self._own(error)

    def _ask(self) -> None:
        """Leave what was cancelled, let others in between, let others join: as rank 0 hears it from its host."""
        going, room = self._flight.going, self._flight.rows < MOST_ROWS
        asked = [int(self.host.wish(room)), *(int(one.owner.host.cancelled(one.running.number)) for one in going)]
        wish, *cancelled = self._readout.ranks.tell(asked)
        leaving = [one for one, left in zip(going, cancelled, strict=True) if left]
        self._flight.leave(leaving)
        for one in leaving:
            one.owner.failed(one, Cancelled(_CANCELLED))
        if wish == Wish.PAUSE:
            self.host.pause()
        elif wish == Wish.JOIN:
            self._begin(self.host.joining(self._room()))

    def _room(self) -> Room:
        flight = self._flight
        return Room(flight.rows, flight.held, flight.most_held, self._card, self._lengths)

    def _lengths(self, program: Program) -> list[int]:
        return [len(self._tokens.encode(row.text).ids) for row in program.rows]

    def _own(self, error: Exception) -> Exception:
        """A fault that is a task's own. One that another rank may not have had is raised: the ranks are out of step."""
        meant = out_of_step(error, self._readout.ranks)
        if isinstance(meant, DEVICE_FAULTS):
            raise meant from error
        return error


def _prompts(running: Running) -> list[int]:
    return [len(encoded.ids) for encoded in running.encoded]
