"""Every error that the code raises on purpose, read from its source: codes, messages and remedies as templates.

A template has ``{1}``, ``{2}`` where the text has something put in; the same expression has the same number.
Helpers that build an error from what they are given (``_refused(contract, "trainings", message)``) are followed to
where they are called, choices between two texts give two templates. What the source does not tell is left out.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from importlib.resources import files
from itertools import product
from pathlib import Path

SOURCE = Path(str(files("hanse")))
KINDS = {"Refusal", "Fault", "Foul"}
Part = str | tuple[str]  # a literal, or (an expression,)
Text = tuple[Part, ...]
_MOST = 16  # variants of one text


@dataclass(frozen=True)
class Site:
    """One place that raises: its file and line, its codes, messages and remedies (none that are not known)."""

    at: str
    codes: tuple[str, ...]
    messages: tuple[str, ...]
    remedies: tuple[str, ...]


def sites(rooms: Iterable[str]) -> list[Site]:
    """All sites of files whose path below ``hanse`` begins with one of ``rooms``."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        name = path.relative_to(SOURCE).as_posix()
        text = path.read_text(encoding="utf-8") if name.startswith(tuple(rooms)) else ""
        if any(f"{kind}(" in text for kind in KINDS):
            found += list(_of(ast.parse(text), name))
    return found


def _of(tree: ast.Module, name: str) -> Iterator[Site]:
    constants = _constants(tree)
    functions = [_Own(function, nodes) for function, nodes in _functions(tree)]
    helpers: dict[str, _Helper] = {}
    found: list[_Raised] = []
    for _ in range(_DEEP):  # helpers that call helpers
        found, made = [], {}
        for own in functions:
            raised = [one.put(own.texts) for one in own.raised(helpers)]
            open_ = [one for one in raised if one.names & own.given]
            if open_ and own.function is not None:
                made[own.function.name] = _Helper(own, open_)
            found += [one for one in raised if one not in open_]
        if made.keys() == helpers.keys():
            break
        helpers = made
    for one in found:
        yield _site(one, constants, name)


_DEEP = 4
_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class _Raised:
    """An error that is made: the expressions of its code, message and remedy, and the line."""

    code: ast.expr
    message: ast.expr | None
    remedy: ast.expr | None
    line: int

    @cached_property
    def names(self) -> frozenset[str]:
        """Names that the code, or all of the message or remedy, rest on."""
        found = _names_in(self.code)
        for node in (self.message, self.remedy):
            if isinstance(node, ast.Name):
                found |= {node.id}
        return found

    def put(self, values: Mapping[str, ast.expr]) -> _Raised:
        """With expressions in the place of names."""
        return _Raised(
            _put(self.code, values) or self.code, _put(self.message, values),
            _put(self.remedy, values), self.line,
        )  # fmt: skip


def _names_in(node: ast.AST | None) -> frozenset[str]:
    if node is None:
        return frozenset()
    return frozenset(n.id for n in ast.walk(node) if isinstance(n, ast.Name))


def _put(node: ast.expr | None, values: Mapping[str, ast.expr]) -> ast.expr | None:
    if node is None or not _names_in(node) & values.keys():
        return node
    found: ast.expr = _Put(values).visit(deepcopy(node))
    return found


class _Put(ast.NodeTransformer):
    def __init__(self, values: Mapping[str, ast.expr]) -> None:
        self._values = values

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return self._values.get(node.id, node)


def _functions(tree: ast.Module) -> Iterator[tuple[_Function | None, list[ast.AST]]]:
    """Every function with the nodes that are its own, and what stands outside of all."""
    own: dict[int, tuple[_Function | None, list[ast.AST]]] = {0: (None, [])}
    waiting: list[tuple[ast.AST, int]] = [(tree, 0)]
    while waiting:
        node, key = waiting.pop()
        if isinstance(node, _Function):
            key = id(node)
            own[key] = (node, [])
        own[key][1].append(node)
        waiting += [(child, key) for child in ast.iter_child_nodes(node)]
    yield from own.values()


class _Own:
    """A function with what is its own: calls, parameters, texts that it gives to names."""

    def __init__(self, function: _Function | None, nodes: list[ast.AST]) -> None:
        self.function = function
        self.calls = [n for n in nodes if isinstance(n, ast.Call)]
        self.order = [] if function is None else _given(function)
        self.given = frozenset(self.order)
        self.usual = {} if function is None else _usual(function)
        texts: dict[str, list[ast.expr]] = {}
        for node in nodes if function is not None else []:
            for target, value in _assigned(node):
                texts.setdefault(target, []).append(value)
        self.texts = {
            name: reduce(lambda a, b: ast.IfExp(ast.Constant(value=True), a, b), values)
            for name, values in texts.items()
            if name not in self.given and all(map(_is_text, values))
        }

    def raised(self, helpers: Mapping[str, _Helper]) -> Iterator[_Raised]:
        for node in sorted(self.calls, key=lambda n: n.lineno):
            called = _name(node.func)
            if called in KINDS and node.args:
                keywords = {k.arg: k.value for k in node.keywords}
                message = node.args[1] if len(node.args) > 1 else keywords.get("message")
                yield _Raised(node.args[0], message, keywords.get("remedy"), node.lineno)
            elif called in helpers:
                helper = helpers[called]
                bound = {**helper.of.usual, **dict(zip(helper.of.order, node.args, strict=False))}
                bound |= {k.arg: k.value for k in node.keywords if k.arg}
                for one in helper.inside:
                    yield replace(one.put(bound), line=node.lineno)


@dataclass(frozen=True)
class _Helper:
    """A function that makes errors of what it is given."""

    of: _Own
    inside: list[_Raised]


def _given(function: _Function) -> list[str]:
    of = function.args
    names = [a.arg for a in (*of.posonlyargs, *of.args)]
    names = names[1:] if names[:1] in (["self"], ["cls"]) else names
    return names + [a.arg for a in of.kwonlyargs]


def _usual(function: _Function) -> dict[str, ast.expr]:
    of = function.args
    found = {a.arg: v for a, v in zip(reversed(of.args), reversed(of.defaults), strict=False)}
    return found | {a.arg: v for a, v in zip(of.kwonlyargs, of.kw_defaults, strict=True) if v}


def _assigned(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    if not isinstance(node, ast.Assign) or len(node.targets) != 1:
        return
    target, value = node.targets[0], node.value
    if isinstance(target, ast.Name):
        yield target.id, value
    elif isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
        for one, given in zip(target.elts, value.elts, strict=False):
            if isinstance(one, ast.Name):
                yield one.id, given
    elif isinstance(target, ast.Tuple):
        for one in target.elts:
            if isinstance(one, ast.Name):
                yield one.id, value  # no text: the name stays what it is


def _is_text(node: ast.expr) -> bool:
    if isinstance(node, ast.IfExp):
        return _is_text(node.body) or _is_text(node.orelse)
    if isinstance(node, ast.BinOp):
        return isinstance(node.op, ast.Add) and (_is_text(node.left) or _is_text(node.right))
    return isinstance(node, ast.JoinedStr) or (
        isinstance(node, ast.Constant) and isinstance(node.value, str)
    )


def _site(one: _Raised, constants: Mapping[str, ast.expr], name: str) -> Site:
    def told(node: ast.expr | None) -> tuple[str, ...]:
        texts = [] if node is None else _texts(node, constants)
        return tuple(dict.fromkeys(t for t in map(template, texts) if t and _says(t)))

    codes = ["".join(p for p in text if isinstance(p, str)) for text in _texts(one.code, constants)
             if all(isinstance(p, str) for p in text)]  # fmt: skip
    codes = [c for c in codes if "." in c]
    return Site(f"{name}:{one.line}", tuple(codes), told(one.message), told(one.remedy))


def template(text: Text) -> str:
    """With slots numbered by expression."""
    numbers: dict[str, int] = {}
    out = ""
    for part in text:
        if isinstance(part, str):
            out += part
        else:
            out += f"{{{numbers.setdefault(part[0], len(numbers) + 1)}}}"
    return out


def _says(text: str) -> bool:
    """Whether there are words in it at all."""
    rest = text
    for number in range(1, 20):
        rest = rest.replace(f"{{{number}}}", "")
    return any(c.isalpha() for c in rest)


def _texts(node: ast.expr, constants: Mapping[str, ast.expr], depth: int = 0) -> list[Text]:
    """All texts that an expression may be."""
    if isinstance(node, ast.Constant):
        return [(str(node.value),)] if isinstance(node.value, str) else [((repr(node.value),),)]
    if isinstance(node, ast.JoinedStr):
        parts = [_texts(_slot(value), constants, depth) for value in node.values]
        return [tuple(p for part in some for p in part) for some in product(*parts)][:_MOST]
    if isinstance(node, ast.IfExp):
        both = _chosen(node)
        return [t for n in both for t in _texts(n, constants, depth)][:_MOST]
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = (_texts(n, constants, depth) for n in (node.left, node.right))
        return [a + b for a in left for b in right][:_MOST]
    if isinstance(node, ast.Name) and node.id in constants and depth < _DEEP:
        return _texts(constants[node.id], constants, depth + 1)
    return [((ast.unparse(node),),)]


def _slot(value: ast.expr) -> ast.expr:
    """What is put in; a text that is formatted (``!r``) is not the text itself."""
    if not isinstance(value, ast.FormattedValue):
        return value
    plain = value.conversion == -1 and value.format_spec is None
    return value.value if plain else ast.Call(ast.Name("shown"), [value.value], [])


def _chosen(node: ast.IfExp) -> list[ast.expr]:
    """Both, but where the test is whether there is a dot in a text that is known."""
    test = node.test
    if isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.In):
        part, whole = test.left, test.comparators[0]
        if isinstance(part, ast.Constant) and isinstance(whole, ast.Constant):
            return [node.body if str(part.value) in str(whole.value) else node.orelse]
    return [node.body, node.orelse]


def _constants(tree: ast.Module) -> dict[str, ast.expr]:
    found = {}
    for node in tree.body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            target, value = node.targets[0], node.value
            if isinstance(target, ast.Name) and isinstance(value, ast.Constant | ast.JoinedStr):
                found[target.id] = value
    return found


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else getattr(node, "attr", "")
