"""The tables of a node's store, and the migrations that bring an older store up to them.

A migration is written once and never changed; `MIGRATIONS` only grows. The statements are plain SQL
that SQLite and PostgreSQL both take. The `Table` values below say what the newest schema is, for
queries; a test compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import (
    BigInteger,
    Column,
    Float,
    ForeignKeyConstraint,
    Integer,
    MetaData,
    Table,
    Text,
)

metadata = MetaData()

meta = Table("meta", metadata, Column("name", Text, primary_key=True), Column("value", Text))

partners = Table(
    "partners",
    metadata,
    Column("party", Text, primary_key=True),
    Column("card", Text, nullable=False),  # JSON of the identity card
    Column("host", Text),
    Column("port", Integer),
    Column("added", Text, nullable=False),
    Column("holds", Text),  # JSON: kinds of data
    Column("confirmed", Text),  # the digits that people compared
)
datasets = Table(
    "datasets",
    metadata,
    Column("name", Text, primary_key=True),
    Column("registration", Text, nullable=False),  # JSON
    Column("added", Text, nullable=False),
)
contracts = Table(
    "contracts",
    metadata,
    Column("id", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("hash", Text, nullable=False, unique=True),
    Column("state", Text, nullable=False),
    Column("bundle", Text, nullable=False),  # JSON: contract and signatures
    Column("changed", Text, nullable=False),
)
jobs = Table(
    "jobs",
    metadata,
    Column("job", Text, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("state", Text, nullable=False),
    Column("contract", Text, nullable=False),  # the contract's hash
    Column("request", Text, nullable=False),  # JSON
    Column("result", Text),  # JSON
    Column("error", Text),  # JSON: the public fields
    Column("created", Text, nullable=False),
    Column("started", Text),
    Column("finished", Text),
)
job_log = Table(
    "job_log",
    metadata,
    Column("job", Text, primary_key=True),
    Column("attempt", Integer, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("at", Text, nullable=False),
    Column("level", Text, nullable=False),
    Column("message", Text, nullable=False),
    # a copy of the store writes jobs first
    ForeignKeyConstraint(["job", "attempt"], ["jobs.job", "jobs.attempt"]),
)
ledger = Table(
    "ledger",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("previous", Text, nullable=False, unique=True),
    Column("hash", Text, nullable=False, unique=True),
    Column("line", Text, nullable=False),  # the entry's canonical JSON
)
answers = Table(
    "answers",
    metadata,
    Column("key", Text, primary_key=True),
    Column("answer", Text, nullable=False),  # JSON
    Column("added", Text, nullable=False),
)
crowds = Table(
    "crowds",
    metadata,
    Column("name", Text, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("state", Text, nullable=False),  # held or removed
    Column("package", Text, nullable=False),  # JSON
)


standing = Table(
    "standing",
    metadata,
    Column("name", Text, primary_key=True),
    Column("query", Text, nullable=False),  # JSON
    Column("last", Text, nullable=False),  # JSON: how its last run went
)
# People of the organisation who use the console, what opens it for them, and their failed tries.
users = Table(
    "users",
    metadata,
    Column("name", Text, primary_key=True),
    Column("shown", Text, nullable=False),
    Column("department", Text, nullable=False),
    Column("roles", Text, nullable=False),  # JSON list
    Column("state", Text, nullable=False),
    Column("password", Text, nullable=False),  # an argon2 hash
    Column("code", Text),  # the sealed secret of one-time codes
    Column("code_step", BigInteger, nullable=False),  # the last code that was used
    Column("created", Text, nullable=False),
)
sessions = Table(
    "sessions",
    metadata,
    Column("handle", Text, primary_key=True),  # SHA-256 of what the browser holds
    Column("user_name", Text, nullable=False),
    Column("form", Text, nullable=False),  # what forms of this session carry
    Column("began", Text, nullable=False),
    Column("seen", Text, nullable=False),
)
tries = Table(
    "tries",
    metadata,
    Column("name", Text, primary_key=True),
    Column("failed", Integer, nullable=False),
    Column("until", Text, nullable=False),  # until then no password is looked at
)
# Who of a sign-on provider is which user: (issuer, subject) never changes hands, a name may.
sign_ons = Table(
    "sign_ons",
    metadata,
    Column("issuer", Text, primary_key=True),
    Column("subject", Text, primary_key=True),
    Column("user_name", Text, nullable=False),
    Column("added", Text, nullable=False),
)


models = Table(
    "models",
    metadata,
    Column("job", Text, primary_key=True),  # the training that made it
    Column("name", Text, nullable=False),
    Column("version", Integer, nullable=False),  # of this name at this node, from 1
    Column("state", Text, nullable=False),  # held, deleted or expired
    Column("note", Text, nullable=False),  # JSON: what stays when the part is gone
    Column("document", Text),  # JSON: this party's part and its card, signed
)

products = Table(
    "products",
    metadata,
    Column("name", Text, primary_key=True),
    Column("about", Text, nullable=False),  # JSON: title, unit, contract, whether synthetic
    Column("version", BigInteger, nullable=False),  # counts publications
    Column("changed", Text, nullable=False),
)
published = Table(
    "published",
    metadata,
    Column(
        "number", BigInteger, primary_key=True, autoincrement=False
    ),  # place in the stream of changes
    Column("product", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("date", Text, nullable=False),
    Column("version", Integer, nullable=False),  # of this place and day, from 1
    Column("state", Text, nullable=False),  # published or abstained
    Column("value", Float),
    Column("low", Float),
    Column("high", Float),
    Column("confidence", Float),  # expected share within 30 %
    Column("reason", Text, nullable=False),
    Column("at", Text, nullable=False),
)
# Of how many places the newest version of a day has a figure, or withholds it: counted when it is published.
product_days = Table(
    "product_days",
    metadata,
    Column("product", Text, primary_key=True),
    Column("date", Text, primary_key=True),
    Column("published", BigInteger, nullable=False),
    Column("abstained", BigInteger, nullable=False),
)
consumers = Table(
    "consumers",
    metadata,
    Column("name", Text, primary_key=True),
    Column("key", Text, nullable=False, unique=True),  # SHA-256 of the key
    Column("rules", Text, nullable=False),  # JSON: scopes, quota, rate, expiry, contract
    Column("state", Text, nullable=False),  # live or revoked
    Column("added", Text, nullable=False),
)
usage = Table(
    "usage",
    metadata,
    Column("day", Text, primary_key=True),
    Column("consumer", Text, primary_key=True),
    Column("product", Text, primary_key=True),
    Column("requests", BigInteger, nullable=False),
    Column("values", BigInteger, nullable=False),
)
webhooks = Table(
    "webhooks",
    metadata,
    Column("name", Text, primary_key=True),
    Column("rules", Text, nullable=False),  # JSON: consumer, url, product
    Column("secret", Text, nullable=False),
    Column("sent", BigInteger, nullable=False),  # the last change that was delivered
    Column("tries", Integer, nullable=False),
    Column("due", Text, nullable=False),  # when to try next
    Column("problem", Text, nullable=False),
)


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema; its version is its place in `MIGRATIONS`, from 1."""

    title: str
    statements: tuple[str, ...]


MIGRATIONS: tuple[Migration, ...] = (
    Migration(
        "the first tables",
        (
            "CREATE TABLE partners (party TEXT PRIMARY KEY, card TEXT NOT NULL, host TEXT, "
            "port INTEGER, added TEXT NOT NULL)",
            "CREATE TABLE datasets (name TEXT PRIMARY KEY, registration TEXT NOT NULL, "
            "added TEXT NOT NULL)",
            "CREATE TABLE contracts (id TEXT NOT NULL, version INTEGER NOT NULL, "
            "hash TEXT NOT NULL UNIQUE, state TEXT NOT NULL, bundle TEXT NOT NULL, "
            "changed TEXT NOT NULL, PRIMARY KEY (id, version))",
            "CREATE TABLE jobs (job TEXT NOT NULL, attempt INTEGER NOT NULL, state TEXT NOT NULL, "
            "contract TEXT NOT NULL, request TEXT NOT NULL, result TEXT, error TEXT, "
            "created TEXT NOT NULL, started TEXT, finished TEXT, PRIMARY KEY (job, attempt))",
            "CREATE INDEX jobs_by_state ON jobs (state)",
            "CREATE TABLE job_log (job TEXT NOT NULL, attempt INTEGER NOT NULL, "
            "number INTEGER NOT NULL, at TEXT NOT NULL, level TEXT NOT NULL, "
            "message TEXT NOT NULL, PRIMARY KEY (job, attempt, number), "
            "FOREIGN KEY (job, attempt) REFERENCES jobs (job, attempt) ON DELETE CASCADE)",
            "CREATE TABLE ledger (sequence BIGINT PRIMARY KEY, previous TEXT NOT NULL UNIQUE, "
            "hash TEXT NOT NULL UNIQUE, line TEXT NOT NULL)",
            "CREATE TABLE answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL, "
            "added TEXT NOT NULL)",
        ),
    ),
    Migration(
        "crowd packages",
        (
            "CREATE TABLE crowds (name TEXT NOT NULL, version INTEGER NOT NULL, "
            "state TEXT NOT NULL, package TEXT NOT NULL, PRIMARY KEY (name, version))",
        ),
    ),
    Migration(
        "standing queries",
        ("CREATE TABLE standing (name TEXT PRIMARY KEY, query TEXT NOT NULL, last TEXT NOT NULL)",),
    ),
    Migration(
        "users of the console, and lists of many contracts and jobs",
        (
            "CREATE TABLE users (name TEXT PRIMARY KEY, shown TEXT NOT NULL, department TEXT NOT NULL, "
            "roles TEXT NOT NULL, state TEXT NOT NULL, password TEXT NOT NULL, code TEXT, "
            "code_step BIGINT NOT NULL, created TEXT NOT NULL)",
            "CREATE TABLE sessions (handle TEXT PRIMARY KEY, user_name TEXT NOT NULL, form TEXT NOT NULL, "
            "began TEXT NOT NULL, seen TEXT NOT NULL)",
            "CREATE TABLE tries (name TEXT PRIMARY KEY, failed INTEGER NOT NULL, until TEXT NOT NULL)",
            "CREATE INDEX jobs_by_time ON jobs (created, job, attempt)",
            "CREATE INDEX jobs_by_state_and_time ON jobs (state, created, job, attempt)",
            "CREATE INDEX jobs_by_contract_and_time ON jobs (contract, created, job, attempt)",
            "CREATE INDEX contracts_by_time ON contracts (changed, id, version)",
            "CREATE INDEX contracts_by_state_and_time ON contracts (state, changed, id, version)",
        ),
    ),
    Migration(
        "models",
        (
            "CREATE TABLE models (job TEXT PRIMARY KEY, name TEXT NOT NULL, version INTEGER NOT NULL, "
            "state TEXT NOT NULL, note TEXT NOT NULL, document TEXT)",
        ),
    ),
    Migration(
        "what partners hold, and whether their cards were compared",
        (
            "ALTER TABLE partners ADD COLUMN holds TEXT",
            "ALTER TABLE partners ADD COLUMN confirmed TEXT",
        ),
    ),
    Migration(
        "published figures, consumers of the API, their usage and webhooks",
        (
            "CREATE TABLE products (name TEXT PRIMARY KEY, about TEXT NOT NULL, version BIGINT NOT NULL, "
            "changed TEXT NOT NULL)",
            "CREATE TABLE published (number BIGINT PRIMARY KEY, product TEXT NOT NULL, place TEXT NOT NULL, "
            "date TEXT NOT NULL, version INTEGER NOT NULL, state TEXT NOT NULL, value DOUBLE PRECISION, "
            "low DOUBLE PRECISION, high DOUBLE PRECISION, confidence DOUBLE PRECISION, reason TEXT NOT NULL, "
            "at TEXT NOT NULL)",
            "CREATE UNIQUE INDEX published_by_place ON published (product, place, date, version)",
            "CREATE INDEX published_by_date ON published (product, date)",
            "CREATE TABLE consumers (name TEXT PRIMARY KEY, key TEXT NOT NULL UNIQUE, rules TEXT NOT NULL, "
            "state TEXT NOT NULL, added TEXT NOT NULL)",
            "CREATE TABLE usage (day TEXT NOT NULL, consumer TEXT NOT NULL, product TEXT NOT NULL, "
            'requests BIGINT NOT NULL, "values" BIGINT NOT NULL, PRIMARY KEY (day, consumer, product))',
            "CREATE TABLE webhooks (name TEXT PRIMARY KEY, rules TEXT NOT NULL, secret TEXT NOT NULL, "
            "sent BIGINT NOT NULL, tries INTEGER NOT NULL, due TEXT NOT NULL, problem TEXT NOT NULL)",
        ),
    ),
    Migration(
        "users who sign in at a provider",
        (
            "CREATE TABLE sign_ons (issuer TEXT NOT NULL, subject TEXT NOT NULL, user_name TEXT NOT NULL, "
            "added TEXT NOT NULL, PRIMARY KEY (issuer, subject))",
            "CREATE INDEX sign_ons_by_user ON sign_ons (user_name)",
        ),
    ),
    Migration(
        "changes of one product in their order, and its days",
        (
            "CREATE INDEX published_by_number ON published (product, number)",
            "CREATE TABLE product_days (product TEXT NOT NULL, date TEXT NOT NULL, published BIGINT NOT NULL, "
            "abstained BIGINT NOT NULL, PRIMARY KEY (product, date))",
            "INSERT INTO product_days (product, date, published, abstained) "
            "SELECT product, date, SUM(CASE WHEN state = 'published' THEN 1 ELSE 0 END), "
            "SUM(CASE WHEN state = 'published' THEN 0 ELSE 1 END) FROM published AS one WHERE version = "
            "(SELECT MAX(version) FROM published AS all_of WHERE all_of.product = one.product "
            "AND all_of.place = one.place AND all_of.date = one.date) GROUP BY product, date",
        ),
    ),
)
