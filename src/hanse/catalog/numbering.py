"""A country's telephone numbering plan as one automaton over digits.

The `phonenumbers` library keeps a plan as regular expressions. Asking it costs 14-22 microseconds a
number, so here the expressions that decide the common cases are compiled, once per region, into one
deterministic automaton whose states say which of them match so far. A kernel then walks a number in
about ten nanoseconds (`phones`). Only the few constructs that plans use are understood; a plan
with others has no automaton, and all its numbers go to the library.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import phonenumbers
from numpy.typing import NDArray
from phonenumbers.phonemetadata import PhoneMetadata

GENERAL = 1  # the whole number has a shape that the country uses at all
FIXED = 2  # the whole number is a fixed line
MOBILE = 4  # the whole number is a mobile
EXIT = 8  # the digits so far are an international prefix (00 in most countries)
TRUNK = 16  # the digits so far may be a national prefix (0 in most countries)
LEADING = 32  # the digits so far mark the number as this region's among those with its country code

DEAD = 0
MAX_STATES = 4000

# A parsed expression: ("set", digits) | ("seq", items) | ("any", items) | ("times", item, low, high)
_Tree = tuple[Any, ...]


class _UnknownConstructError(Exception):
    """The expression uses something that the parser does not know."""


@dataclass(frozen=True)
class NumberingPlan:
    """One region's plan, ready for the kernel.

    `steps` is ``uint16[states, 10]`` (state 0 is dead, 1 the start), `labels` ``uint8[states]``.
    `fixed_lengths` and `mobile_lengths` have bit n set where n digits are allowed; `needed` is
    `LEADING` where a number must also have shown that label on its way.
    """

    region: str
    country: NDArray[np.uint8]
    trunk: NDArray[np.uint8]
    steps: NDArray[np.uint16]
    labels: NDArray[np.uint8]
    fixed_lengths: int
    mobile_lengths: int
    longest: int
    needed: int


class _Parser:
    """Recursive descent over the subset of regular expressions that numbering plans use."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def parse(self) -> _Tree:
        tree = self._alternatives()
        if self._at != len(self._text):
            raise _UnknownConstructError
        return tree

    def _peek(self) -> str:
        return self._text[self._at] if self._at < len(self._text) else ""

    def _take(self, text: str) -> bool:
        if self._text.startswith(text, self._at):
            self._at += len(text)
            return True
        return False

    def _alternatives(self) -> _Tree:
        items = [self._sequence()]
        while self._take("|"):
            items.append(self._sequence())
        return items[0] if len(items) == 1 else ("any", tuple(items))

    def _sequence(self) -> _Tree:
        items = []
        while self._peek() not in {"", "|", ")"}:
            items.append(self._repeated(self._atom()))
        return ("seq", tuple(items))

    def _atom(self) -> _Tree:
        if self._take("\\d"):
            return ("set", frozenset(range(10)))
        if self._take("(?:") or (not self._text.startswith("(?", self._at) and self._take("(")):
            tree = self._alternatives()
            if not self._take(")"):
                raise _UnknownConstructError
            return tree
        if self._take("$"):
            return ("seq", ())  # only prefixes use it, where matching more means asking more
        if self._take("["):
            return ("set", self._members())
        if self._peek().isdigit():
            self._at += 1
            return ("set", frozenset({int(self._text[self._at - 1])}))
        raise _UnknownConstructError

    def _members(self) -> frozenset[int]:
        end = self._text.index("]", self._at)
        body, self._at = self._text[self._at : end].replace("\\d", "0-9"), end + 1
        digits: set[int] = set()
        while body:
            first, last = body[0], body[2] if body[1:2] == "-" else body[0]
            if not (first.isdigit() and last.isdigit()):
                raise _UnknownConstructError
            digits.update(range(int(first), int(last) + 1))
            body = body[3:] if body[1:2] == "-" else body[1:]
        return frozenset(digits)

    def _repeated(self, tree: _Tree) -> _Tree:
        if self._take("?"):
            return ("times", tree, 0, 1)
        if self._take("{"):
            end = self._text.index("}", self._at)
            low, _, high = self._text[self._at : end].partition(",")
            self._at = end + 1
            return ("times", tree, int(low), int(high or low))
        if self._peek() in {"*", "+", "?"}:
            raise _UnknownConstructError
        return tree


class _Net:
    """A nondeterministic automaton; state 0 is the start."""

    def __init__(self) -> None:
        self.silent: list[list[int]] = [[]]
        self.moves: list[tuple[frozenset[int], int] | None] = [None]
        self.labels: list[int] = [0]

    def _state(self) -> int:
        self.silent.append([])
        self.moves.append(None)
        self.labels.append(0)
        return len(self.silent) - 1

    def accept(self, expression: str, label: int) -> None:
        end = self._add(_Parser(expression).parse(), 0)
        self.labels[end] |= label

    def _add(self, tree: _Tree, start: int) -> int:
        kind = tree[0]
        if kind == "set":
            here, end = self._state(), self._state()
            self.silent[start].append(here)
            self.moves[here] = (tree[1], end)
            return end
        if kind == "seq":
            for item in tree[1]:
                start = self._add(item, start)
            return start
        end = self._state()
        if kind == "any":
            for item in tree[1]:
                self.silent[self._add(item, start)].append(end)
            return end
        _, item, low, high = tree
        for count in range(high):
            if count >= low:
                self.silent[start].append(end)
            start = self._add(item, start)
        self.silent[start].append(end)
        return end

    def _closed(self, states: set[int]) -> frozenset[int]:
        waiting, seen = list(states), set(states)
        while waiting:
            for state in self.silent[waiting.pop()]:
                if state not in seen:
                    seen.add(state)
                    waiting.append(state)
        return frozenset(s for s in seen if self.moves[s] is not None or self.labels[s])

    def deterministic(self) -> tuple[NDArray[np.uint16], NDArray[np.uint8]]:
        """Steps and labels by the subset construction."""
        numbers: dict[frozenset[int], int] = {frozenset(): DEAD, self._closed({0}): 1}
        order = list(numbers)
        steps: list[list[int]] = []
        for subset in order:  # grows while it is walked
            row = []
            for digit in range(10):
                reached = {
                    m[1] for s in subset if (m := self.moves[s]) is not None and digit in m[0]
                }
                closed = self._closed(reached)
                if closed not in numbers:
                    numbers[closed] = len(order)
                    order.append(closed)
                row.append(numbers[closed])
            steps.append(row)
            if len(order) > MAX_STATES:
                raise _UnknownConstructError
        labels = [0] * len(order)
        for subset, number in numbers.items():
            for state in subset:
                labels[number] |= self.labels[state]
        return np.array(steps, np.uint16), np.array(labels, np.uint8)


def _digits(text: str) -> NDArray[np.uint8]:
    return np.array([int(c) for c in text], np.uint8)


def _length_bits(lengths: tuple[int, ...]) -> int:
    return sum(1 << n for n in lengths if 0 < n < 30)


def _trunk(plan: PhoneMetadata) -> str:
    """The national prefix, if the library merely takes it away (some plans rewrite the number)."""
    prefix = plan.national_prefix or ""
    found = re.fullmatch(plan.national_prefix_for_parsing or "", prefix)
    if not prefix.isdigit() or found is None:
        return ""
    rewrites = bool(plan.national_prefix_transform_rule)
    return "" if rewrites and found.groups() and found.groups()[-1] is not None else prefix


@lru_cache(maxsize=64)
def numbering_plan(region: str) -> NumberingPlan | None:
    """The plan of `region` ("CN"), or None where its numbers all need the library.

    None for a region that shares its country code without being the first to be asked (the library
    then decides between them), and for plans that use unknown constructs.
    """
    plan = PhoneMetadata.metadata_for_region(region, None)
    if plan is None or plan.country_code is None or plan.general_desc is None:
        return None
    general = plan.general_desc
    regions = phonenumbers.COUNTRY_CODE_TO_REGION_CODE.get(plan.country_code, ())
    if not regions or regions[0] != region:
        return None
    leading = plan.leading_digits if len(regions) > 1 else None
    net = _Net()
    try:
        net.accept(general.national_number_pattern or "", GENERAL)
        for label, described in ((FIXED, plan.fixed_line), (MOBILE, plan.mobile)):
            if described is not None and described.national_number_pattern:
                net.accept(described.national_number_pattern, label)
        if plan.international_prefix:
            net.accept(plan.international_prefix, EXIT)
        if plan.national_prefix_for_parsing:
            net.accept(plan.national_prefix_for_parsing, TRUNK)
        if leading:
            net.accept(leading, LEADING)
        steps, labels = net.deterministic()
    except (_UnknownConstructError, ValueError):
        return None
    if labels[1] & (EXIT | TRUNK | LEADING):
        return None  # a prefix that may be empty: leave such a plan to the library
    fixed = plan.fixed_line.possible_length if plan.fixed_line is not None else ()
    mobile = plan.mobile.possible_length if plan.mobile is not None else ()
    return NumberingPlan(
        region=region,
        country=_digits(str(plan.country_code)),
        trunk=_digits(_trunk(plan)),
        steps=steps,
        labels=labels,
        fixed_lengths=_length_bits(fixed or general.possible_length),
        mobile_lengths=_length_bits(mobile or general.possible_length),
        longest=max(general.possible_length),
        needed=LEADING if leading else 0,
    )
