"""What may not be kept: bytes, arrays, long lists of numbers, encoded blobs, named secrets."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from ledger_samples import new_ledger

from hanse.errors import Fault

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "bytes": ({"job": {"mask": b"\x00" * 16}}, "job.mask is a bytes"),
    "array": ({"column": np.zeros(3)}, "column is a ndarray"),
    "numpy number": ({"count": np.int64(3)}, "count is a int64"),
    "set": ({"names": {"a"}}, "names is a set"),
    "not a number": ({"rate": float("nan")}, "rate is not a finite number"),
    "infinite": ({"rate": [1.0, float("-inf")]}, "rate is not a finite number"),
    "long list": ({"cells": [0] * 4097}, "cells lists more than 4096 numbers"),
    "long nested list": ({"cells": [[0] * 64] * 65}, "cells lists more than 4096 numbers"),
    "encoded": ({"note": "ab" * 2049}, "note looks like encoded data"),
    "encoded in a list": ({"notes": ["x", "ab" * 2049]}, "notes looks like encoded data"),
    "seed": ({"upload": {"seed": "00112233"}}, "upload.seed is named like a secret"),
    "shares": ({"shares": [1, 2, 3]}, "shares is named like a secret"),
    "ids": ({"IDs": ["a", "b"]}, "IDs is named like a secret"),
    "names that are not text": ({"cells": {1: 2}}, "cells has a name that is not text"),
    "huge": ({"texts": ["word " * 800] * 300}, "over the limit"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_body_that_may_not_be_kept_is_refused_naming_the_field(name: str) -> None:
    body, words = REFUSED[name]
    ledger = new_ledger()
    with pytest.raises(Fault) as caught:
        ledger.append("job", body)
    assert caught.value.code == "ledger.body"
    assert words in caught.value.message
    assert caught.value.remedy
    assert list(ledger.entries()) == []


def test_a_refusal_does_not_repeat_what_it_refused() -> None:
    with pytest.raises(Fault) as caught:
        new_ledger().append("job", {"seed": "0123456789abcdef"})
    assert "0123456789abcdef" not in str(caught.value)


def test_deep_bodies_are_refused_not_crashed_on() -> None:
    body: dict[str, Any] = {}
    for _ in range(10_000):
        body = {"inner": body}
    with pytest.raises(Fault) as caught:
        new_ledger().append("job", body)
    assert caught.value.code == "ledger.body"


@pytest.mark.parametrize(
    "body",
    [
        {"cells": [0] * 4096},
        {"cells": {"seeds": 120, "tokens": 3}},
        {"commitments": {"exposures": "ab" * 32}},
        {"text": "a long report in words " * 500},
        {"cells": [[1.5, None], [2, "suppressed"]]},
    ],
)
def test_what_a_job_leaves_behind_is_kept(body: dict[str, Any]) -> None:
    ledger = new_ledger()
    assert ledger.append("disclosure", body).body == body
