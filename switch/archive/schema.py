"""The tables, made when they are missing, and the version they were made in.

Money is a 64-bit integer. Text compares by code points in both databases, so that both list in the same order.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    insert,
    inspect,
    select,
    text,
)

from switch.errors import ConfigError

__all__ = ["ENTRY", "PAYMENT", "REGISTER", "RETIRED", "UNRETIRED", "VERSION", "WITH_REQUEST", "make_schema"]

VERSION: Final = 1
_MAKING: Final = 0x42_41_59_53  # of the advisory lock under which PostgreSQL's tables are made

_INTEGER: Final = BigInteger().with_variant(Integer(), "sqlite")  # a STRICT table of SQLite knows INTEGER only: 64 bits
_TEXT: Final = Text().with_variant(Text(collation="C"), "postgresql")
_ALL: Final = MetaData()

# Conditions of the partial indexes. A query uses such an index when it says the same, as a literal.
RETIRED: Final = text("retired = 1")
UNRETIRED: Final = text("retired = 0")
WITH_REQUEST: Final = text("request_id <> ''")


def _column(name: str, kind: object) -> Column[object]:
    return Column(name, kind, nullable=False)  # type: ignore[arg-type]


PAYMENT: Final = Table(
    "payment",
    _ALL,
    Column("event_id", _TEXT, primary_key=True),
    _column("uetr", _TEXT),
    _column("debtor_agent", _TEXT),
    _column("sequence", _INTEGER),
    _column("request_id", _TEXT),
    _column("state", _TEXT),  # the letter of domain.payment.State
    _column("reason", _TEXT),
    _column("rail", _TEXT),
    _column("corridor", _TEXT),
    _column("rail_reference", _TEXT),
    _column("prepared_time_ms", _INTEGER),
    _column("final_time_ms", _INTEGER),
    _column("log_partition", _INTEGER),
    _column("log_offset", _INTEGER),
    _column("digest", LargeBinary()),
    _column("note", LargeBinary()),
    Column("retired", Integer(), nullable=False, server_default=text("0")),  # 1: the hot store has let it go
    UniqueConstraint("uetr", name="payment_uetr"),
    UniqueConstraint("debtor_agent", "sequence", name="payment_sequence"),
    UniqueConstraint("log_partition", "log_offset", name="payment_place"),
    # Not unique: the hot store forgets a request with its payment, and what it let begin then is a fact.
    Index("payment_request", "debtor_agent", "request_id", sqlite_where=WITH_REQUEST, postgresql_where=WITH_REQUEST),
    Index("payment_final", "final_time_ms"),
    Index("payment_unretired", "final_time_ms", sqlite_where=UNRETIRED, postgresql_where=UNRETIRED),
    Index(
        *("payment_retired", "debtor_agent", "prepared_time_ms", "state"),
        sqlite_where=RETIRED,
        postgresql_where=RETIRED,
    ),
    sqlite_strict=True,
)

ENTRY: Final = Table(
    "entry",
    _ALL,
    Column("log_partition", _INTEGER, primary_key=True, autoincrement=False),
    Column("log_offset", _INTEGER, primary_key=True, autoincrement=False),
    Column("line", _INTEGER, primary_key=True, autoincrement=False),  # from 0, in the order of the fact
    _column("participant", _TEXT),
    _column("asset", _TEXT),  # the name of domain.money.Asset
    _column("amount_minor", _INTEGER),
    ForeignKeyConstraint(["log_partition", "log_offset"], ["payment.log_partition", "payment.log_offset"]),
    Index("entry_statement", "participant", "log_partition", "log_offset", "asset"),
    sqlite_with_rowid=False,
    sqlite_strict=True,
)

REGISTER: Final = Table(  # one row
    "register",
    _ALL,
    Column("id", Integer(), CheckConstraint("id = 1"), primary_key=True, autoincrement=False),
    Column("rows", LargeBinary()),  # NULL: none was kept
    _column("kept_time_ms", _INTEGER),
    sqlite_strict=True,
)

_SCHEMA: Final = Table(  # one row
    "archive_schema",
    _ALL,
    Column("id", Integer(), CheckConstraint("id = 1"), primary_key=True, autoincrement=False),
    _column("version", _INTEGER),
    sqlite_strict=True,
)


def make_schema(connection: Connection) -> None:
    """Make the tables, or see that they are of this version. Safe to repeat, and for several processes at once.

    Raises:
        ConfigError: another version, somebody else's tables, or a database that forgets; says what to do.
    """
    if connection.dialect.name == "postgresql":
        _check_durability(connection)
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MAKING})
    if inspect(connection).has_table(_SCHEMA.name):
        _check_version(connection)
        return
    if strange := [table.name for table in _ALL.sorted_tables if inspect(connection).has_table(table.name)]:
        raise ConfigError(
            f"archive_url: the database has a table {strange[0]} that is not the archive's: "
            "give the archive a database, or a schema (options=-csearch_path=…), of its own"
        )
    _ALL.create_all(connection, checkfirst=False)
    connection.execute(insert(_SCHEMA), {"id": 1, "version": VERSION})
    connection.execute(insert(REGISTER), {"id": 1, "rows": None, "kept_time_ms": 0})


def _check_version(connection: Connection) -> None:
    found = connection.execute(select(_SCHEMA.c.version)).scalar_one_or_none()
    if found != VERSION:
        raise ConfigError(
            f"the archive's tables are of version {found}, this switch knows version {VERSION}: run the release that made "
            "them, or name a new database in BAYSWITCH_ARCHIVE_URL and have the settler read the log again"
        )


def _check_durability(connection: Connection) -> None:
    for setting in ("fsync", "synchronous_commit"):
        if connection.execute(text(f"SHOW {setting}")).scalar_one() == "off":
            raise ConfigError(
                f"archive_url: the server has `{setting} = off` and may lose what it said it kept: turn it on"
            )
