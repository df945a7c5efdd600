"""An adapter in a process of its own, which may hang or crash without harm."""

from __future__ import annotations

import importlib
import io
import multiprocessing
import os
import signal
import sys
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Self

from refcrp.conformance.cases import Case
from refcrp.conformance.runner import Adapter, Answer, ask, describe, hung, one_line
from refcrp.errors import ParameterError, nearest_names

__all__ = ["Worker", "load_adapter"]

START_LIMIT = 300.0  # seconds to import an adapter, with whatever framework it needs
PATIENCE = 5.0  # seconds for a process to end after it has closed its connection


class Worker:
    """An adapter ``MODULE:FUNCTION`` in a process of its own, started anew after a hang or a crash.

    Raises
    ------
    ParameterError
        When entered, if there is no such module or function, or it cannot be imported.
    """

    def __init__(self, adapter: str, timeout: float | None) -> None:
        self.adapter, self.timeout = adapter, timeout
        self.process: Any = None
        self.connection: Connection[Any, Any] | None = None

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start the process and wait until it has imported the adapter."""
        # Not forked: the threads of BLAS and of deep-learning frameworks do not survive that.
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        process = context.Process(target=serve, args=(theirs, self.adapter), daemon=False)
        process.start()
        self.process = process
        theirs.close()  # so that its end is noticed here
        try:
            problem = self.receive(START_LIMIT)
        except (EOFError, OSError):
            problem = f"importing {self.adapter}: {self.ending()}"
        except TimeoutError:
            problem = f"importing {self.adapter} takes longer than {START_LIMIT:g} s"
        if problem:
            raise ParameterError(problem)

    def ask(self, case: Case) -> Answer:
        """Ask about one case."""
        try:
            if self.connection is None:
                self.start()
            assert self.connection is not None
            self.connection.send(case)
            answer = self.receive(self.timeout)
            assert isinstance(answer, Answer)
            return answer
        except TimeoutError:
            answer = hung(self.timeout)
        except (EOFError, OSError):
            answer = Answer("crashed", message=f"took its process down: {self.ending()}")
        except ParameterError as error:
            answer = Answer("crashed", message=f"could not be started again: {one_line(error)}")
        self.stop()
        return answer

    def receive(self, timeout: float | None) -> Any:
        """Give what the process sends next; EOFError if it ends before, TimeoutError if it takes too long."""
        assert self.connection is not None
        if not wait([self.connection, self.process.sentinel], timeout):
            raise TimeoutError
        if not self.connection.poll():
            raise EOFError
        return self.connection.recv()

    def ending(self) -> str:
        """Say how the process ended."""
        self.process.join(PATIENCE)
        code = self.process.exitcode
        if code is None:
            return "it closed its connection"
        try:
            return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"
        except ValueError:
            return f"killed by signal {-code}"

    def stop(self) -> None:
        """End the process, if there is one."""
        if self.connection is not None:
            self.connection.close()
            self.connection = None
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process.close()
            self.process = None


# In the other process ---------------------------------------------------------------------------------------


def serve(connection: Connection[Any, Any], name: str) -> None:
    """Answer cases until the connection is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started this process ends it
    os.dup2(2, 1)  # standard output belongs to the report
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # what was said must not die with the process
    try:
        adapter = load_adapter(name)
    except ParameterError as error:
        connection.send(str(error))
        return
    connection.send("")
    while True:
        try:
            case = connection.recv()
        except (EOFError, OSError):
            return
        connection.send(ask(adapter, case))


def load_adapter(name: str) -> Adapter:
    """Import the function ``MODULE:FUNCTION``, the current folder included.

    Raises
    ------
    ParameterError
        If there is none of that name.
    """
    module_name, colon, attributes = name.partition(":")
    if not (module_name and colon and attributes):
        raise ParameterError(f"adapter {name!r}: expected MODULE:FUNCTION, such as my_adapter:explain")
    if module_name.endswith(".py") or "/" in module_name or os.sep in module_name:
        raise ParameterError(f"adapter {name!r}: MODULE is a name as in import statements, not a file")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise ParameterError(f"importing {module_name} raised {describe(error)}") from error
        raise ParameterError(f"no module {error.name!r}, in the current folder or installed") from error
    except (Exception, SystemExit) as error:
        raise ParameterError(f"importing {module_name} raised {describe(error)}") from error
    for attribute in attributes.split("."):
        try:
            found = getattr(found, attribute)
        except AttributeError:
            known = [
                key
                for key, value in getattr(found, "__dict__", {}).items()
                if callable(value) and key[0] != "_"
            ]
            near = f"; {nearest_names(attribute, known)}" if known else ""
            raise ParameterError(f"{module_name} has no function {attribute!r}{near}") from None
    if not callable(found):
        raise ParameterError(f"{name} is of type {type(found).__name__}, expected a function")
    return found  # type: ignore[no-any-return]
