"""A node's log: one line per event, ``key=value``, on standard error.

Only this project's own loggers are written, and of an exception only its class and place: the text of an
unexpected error, or of a library's log line, may hold private values.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
from datetime import UTC, datetime
from types import TracebackType


class Lines(logging.Formatter):
    """``time=... level=... part=... message="..."``"""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = (
            f"time={at.replace('+00:00', 'Z')} level={record.levelname.lower()} "
            f"part={record.name.removeprefix('hanse.')} "
            f"message={json.dumps(record.getMessage(), ensure_ascii=False)}"
        )
        if record.exc_info and record.exc_info[0] is not None:
            line += f" error={record.exc_info[0].__name__} place={_place(record.exc_info[2])}"
        return line


def start_log(level: str) -> logging.Logger:
    """Write the log of this process from now on; the logger to use for the process's own events."""
    log = logging.getLogger("hanse")
    for old in list(log.handlers):
        log.removeHandler(old)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Lines())
    log.addHandler(handler)
    log.setLevel(level.upper())
    log.propagate = False
    threading.excepthook = _thread_failed
    return logging.getLogger("hanse.node")


def _thread_failed(failed: threading.ExceptHookArgs) -> None:
    name = failed.thread.name if failed.thread is not None else "?"
    logging.getLogger("hanse.node").error(
        "thread %s failed: %s in %s", name, failed.exc_type.__name__, _place(failed.exc_traceback)
    )


def _place(trace: TracebackType | None) -> str:
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace is not None else "?"
