# What the project runs; `just check` is what CI runs.
python := ".venv/bin/python"

default:
    @just --list

# A virtual environment with everything for development, at the tested versions, by their hashes.
setup:
    python3 -m venv .venv
    .venv/bin/pip install -q --require-hashes -r constraints.txt
    .venv/bin/pip install -q --no-deps -e .

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

# Refresh the tested versions (needs uv).
constraints:
    uv pip compile pyproject.toml --extra demo --extra dev --generate-hashes --universal --python-version 3.11 --no-header --no-annotate -o constraints.txt

demo *args:
    .venv/bin/hanse demo {{args}}
