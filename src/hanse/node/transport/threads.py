"""The named background threads of one part of a node, so that it can wait for them at its end."""

from __future__ import annotations

import threading
from collections.abc import Callable


def place_of(error: BaseException) -> str:
    """Class and place of an unexpected error, for logs: its text may hold private values."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return type(error).__name__
    return f"{type(error).__name__} in {trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}"


class Threads:
    """Daemon threads, each named ``hanse-`` and what it does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: set[threading.Thread] = set()

    def spawn(self, function: Callable[[], None], name: str) -> None:
        """Run ``function`` in a thread of its own."""

        def run() -> None:
            try:
                function()
            finally:
                with self._lock:
                    self._running.discard(threading.current_thread())

        thread = threading.Thread(target=run, name=f"hanse-{name}", daemon=True)
        with self._lock:  # held while starting, so that nobody joins a thread that has not begun
            self._running.add(thread)
            thread.start()

    def join(self, patience: float, prefix: str = "") -> None:
        """Wait up to ``patience`` seconds for each thread whose name begins with ``prefix``."""
        with self._lock:
            threads = [one for one in self._running if one.name.startswith(f"hanse-{prefix}")]
        for thread in threads:
            if thread is not threading.current_thread():
                thread.join(patience)
