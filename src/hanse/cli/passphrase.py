"""The passphrase of a backup: from a file, the environment or the terminal, and never a wait for nobody."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import typer

from hanse.errors import Fault, Refusal

VARIABLE = "HANSE_BACKUP_PASSPHRASE"
FILE_VARIABLE = "HANSE_BACKUP_PASSPHRASE_FILE"


def passphrase(file: Path | None, *, twice: bool) -> str:
    """The first line of ``file``, else the variable, else what a person types (``twice`` for a new one).

    Raises `Fault` ``file.missing``, ``file.unreadable``, ``file.shared`` or ``file.syntax``, and `Refusal`
    ``backup.passphrase`` where there is none of the three, as in a job of cron.
    """
    if file is not None:
        return _first_line(file)
    given = os.environ.get(VARIABLE)
    if given:
        return given
    if not sys.stdin.isatty():
        raise Refusal("backup.passphrase", "there is no terminal to ask for the passphrase",
                      remedy=f"give --passphrase-file FILE (its mode 600), or set {VARIABLE}")  # fmt: skip
    return str(typer.prompt("Passphrase", hide_input=True, confirmation_prompt=twice))


def _first_line(path: Path) -> str:
    from hanse.cli.documents import read_bytes

    data = read_bytes(path, "the passphrase")
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        raise Fault("file.shared", f"the file of the passphrase can be read or changed by others (mode {mode:04o})",
                    remedy="chmod 600 the file; if others may have read it, choose another and back up anew",
                    where=str(path))  # fmt: skip
    try:
        line = data.decode().split("\n")[0].rstrip("\r")
    except UnicodeDecodeError as error:
        raise Fault("file.syntax", "the file of the passphrase is not UTF-8 text",
                    remedy="write the passphrase into its first line", where=str(path)) from error  # fmt: skip
    if not line:
        raise Fault("file.syntax", "the file of the passphrase has an empty first line",
                    remedy="write the passphrase into its first line", where=str(path))  # fmt: skip
    return line
