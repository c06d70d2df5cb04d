# What the project runs; `just check` is what CI runs.
python := ".venv/bin/python"

default:
    @just --list

# A virtual environment with everything for development, at the tested versions.
setup:
    python3 -m venv .venv
    .venv/bin/pip install -q -c constraints.txt -e ".[dev]"

# Style, types, rooms, tests.
check: lint types rooms test

lint:
    .venv/bin/ruff check .
    .venv/bin/ruff format --check .

types:
    .venv/bin/mypy

rooms:
    .venv/bin/lint-imports

test *args:
    .venv/bin/pytest -q {{args}}

# Everything, the long suites included.
slow *args:
    .venv/bin/pytest -q --slow {{args}}

bench:
    {{python}} bench/join.py --rows 1000000 --providers 2 --peer rr22 --json
    {{python}} bench/engine.py --rows 1000000 --peer spu --json

demo *args:
    .venv/bin/hanse demo {{args}}
