"""Waiting for a job: Ctrl-C ends the command, not the job, and every command that waits says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_stage import Hanse
from running_stage import QUESTION

from hanse.cli.main import INTERRUPTED
from hanse.cli.progress import watched
from hanse.node.faces import crowd_days, facade, models

JOB = "ab12" * 16
WAITS = {
    "run": (facade, "ask", ("run", "question.toml")),
    "funnel": (facade, "ask", ("funnel", "question.toml")),
    "model train": (models, "train", ("model", "train", "churn")),
    "model score": (models, "score", ("model", "score", "churn", "--out", "scores.parquet")),
    "crowd-days train": (crowd_days, "train", ("crowd-days", "train", "malls")),
    "crowd-days day": (crowd_days, "day", ("crowd-days", "day", "malls")),
}


def interrupted(job: str) -> Callable[..., Any]:
    """A node that has told the job's name to its watcher, the last argument, when the person gives up."""

    def wait(*given: Any) -> Any:
        given[-1]({"job": job, "step": "running"} if job else {"step": "asking"})
        raise KeyboardInterrupt

    return wait


@pytest.mark.parametrize("command", WAITS)
@pytest.mark.parametrize("job", [JOB, ""])
def test_after_ctrl_c_the_command_says_how_to_find_and_stop_the_job(
    hanse: Hanse, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str, job: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("question.toml").write_text(QUESTION)
    where, name, words = WAITS[command]
    monkeypatch.setattr(where, name, interrupted(job))
    ran = hanse(*words, "--node", "a node")
    assert ran.status == INTERRUPTED
    assert ran.out == ""
    if job:
        assert "still running" in ran.err
        assert "hanse job show ab12ab12ab12 --node 'a node'" in ran.err
        assert "hanse job cancel ab12ab12ab12 --node 'a node'" in ran.err
    else:
        assert "hanse job list --node 'a node'" in ran.err
        assert "cancel" not in ran.err


def test_nothing_is_said_when_the_wait_ends_by_itself(capsys: pytest.CaptureFixture[str]) -> None:
    with watched() as watch:
        watch({"job": JOB, "step": "running"})

    def fails() -> None:
        with watched() as watch:
            watch({"job": JOB, "step": "running"})
            raise ValueError("of its own")

    with pytest.raises(ValueError, match="of its own"):
        fails()
    assert capsys.readouterr().err == ""
