"""The books of a mock rail, its seed file, and keys made once."""

import threading
from pathlib import Path

import pytest

from adapters import RAILS
from adapters.kit.books import Account, AccountState, Books, Institution, Limit, PaymentStatus, Record
from adapters.kit.faults import Fault
from adapters.kit.keys import load_or_make
from adapters.kit.seed import load_seed
from switch.domain.money import Asset
from switch.errors import ConfigError

NOON = 1_795_060_800_000  # 2026-11-19T12:00 in Hong Kong
HOUR = 3_600_000


def _books(**limits: int) -> tuple[Books, Account]:
    books = Books()
    books.add_institution(Institution("012", "Bank"))
    account = Account("012", "1", "A B", frozenset({Asset.HKD}), {Asset.HKD: 1_000}, **limits)  # type: ignore[arg-type]
    books.add_account(account)
    return books, account


def _done(uetr: str, amount_minor: int, time_ms: int = NOON) -> Record:
    return Record(uetr, b"d", PaymentStatus.DONE, "ACSC", "R1", ("012", "1"), Asset.HKD, amount_minor, time_ms)


LIMITS = """
# limit               used  asked  at noon  next day  next year
  txn_max_minor=100   0     100    -        -         -
  txn_max_minor=100   0     101    txn      txn       txn
  day_max_minor=100   60    40     -        -         -
  day_max_minor=100   60    41     day      -         -
  year_max_minor=100  60    41     year     year      -
  balance_max_minor=1100  60  41   balance  balance   balance
  txn_max_minor=0     60    99999  -        -         -
"""


@pytest.mark.parametrize("row", [line for line in LIMITS.splitlines()[2:] if line.strip()])
def test_limits(row: str) -> None:
    limit, used, asked, *verdicts = row.split()
    name, _, most = limit.partition("=")
    books, account = _books(**{name: int(most)})
    if int(used):
        books.book(_done("u0", int(used)))
    for verdict, later in zip(verdicts, (0, 24 * HOUR, 50 * 24 * HOUR), strict=True):
        found = books.breaks(account, Asset.HKD, int(asked), NOON + later)
        assert (str(found) if found else "-") == verdict


def test_the_day_turns_at_midnight_in_hong_kong() -> None:
    books, account = _books(day_max_minor=100)
    books.book(_done("u0", 100))
    assert books.breaks(account, Asset.HKD, 1, NOON + 12 * HOUR - 1) is Limit.DAY
    assert books.breaks(account, Asset.HKD, 1, NOON + 12 * HOUR) is None


def test_money_out_needs_funds_and_what_is_held_is_not_there() -> None:
    books, account = _books()
    assert books.breaks(account, Asset.HKD, -1_000, NOON) is None
    books.hold(account, Asset.HKD, 400)
    assert books.breaks(account, Asset.HKD, -601, NOON) is Limit.FUNDS
    books.hold(account, Asset.HKD, -400)
    books.book(_done("u1", -1_000))
    assert account.balance_minor[Asset.HKD] == 0


def test_a_booking_is_once_and_shows_in_the_statement() -> None:
    books, account = _books()
    books.book(_done("u1", 5))
    assert (len(books.paid("u1")), books.paid("u2")) == (1, [])
    with pytest.raises(AssertionError, match="booked twice"):
        books.book(_done("u1", 5))
    books.unbook("u1")
    assert account.balance_minor[Asset.HKD] == 1_000
    assert sum(line.amount_minor for line in books.paid("u1")) == 0
    books.keep(books.payments["u1"]._replace(status=PaymentStatus.REFUSED))
    assert [record.status for record in books.page(0, 10)] == [PaymentStatus.REFUSED]


def test_a_proxy_finds_its_default_or_the_named_agent() -> None:
    books, account = _books()
    books.add_institution(Institution("004", "Other", fault=Fault.parse("offline")))
    other = Account("004", "9", "A B", frozenset({Asset.HKD}))
    books.add_account(other)
    books.add_proxy("MOBN", "+852-51234567", account)
    books.add_proxy("MOBN", "+852-51234567", other, default=False)
    assert books.by_proxy("MOBN", "+852-51234567") is account
    assert books.by_proxy("MOBN", "+852-51234567", "004") is other
    assert books.by_proxy("EMAL", "+852-51234567") is None
    assert books.mark(other) == Fault.parse("offline")
    assert books.mark(account) is None


@pytest.mark.parametrize("rail", RAILS)
def test_shipped_seeds_load(rail: str) -> None:
    import adapters

    seed = Path(adapters.__file__).with_name(rail) / "seed.toml"
    books = load_seed(seed)
    assert books.accounts
    assert {account.institution for account in books.accounts.values()} <= set(books.institutions)


def test_a_range_makes_accounts_with_proxies(tmp_path: Path) -> None:
    seed = tmp_path / "seed.toml"
    seed.write_text(
        '[[institution]]\ncode="012"\nname="B"\n[[range]]\ninstitution="012"\nfirst=5\ncount=3\nnumber="a{n:03d}"\n'
        'holder="L {n}"\nassets=["HKD"]\nstate="closed"\nproxies=[{kind="MOBN", value="+852-{n:08d}"}]\n'
    )
    books = load_seed(seed)
    assert [number for _, number in books.accounts] == ["a005", "a006", "a007"]
    found = books.by_proxy("MOBN", "+852-00000006")
    assert found is not None
    assert (found.holder, found.state) == ("L 6", AccountState.CLOSED)


@pytest.mark.parametrize(
    "text",
    [
        "not toml at all [",
        "[[colour]]\nname='red'\n",
        "[[institution]]\ncode='1'\n",
        "[[institution]]\ncode='1'\nname='a'\n[[institution]]\ncode='1'\nname='a'\n",
        "[[account]]\ninstitution='1'\nnumber='1'\nholder='A'\nassets=['HKD']\n",
        "[[institution]]\ncode='1'\nname='a'\n[[account]]\ninstitution='1'\nnumber='1'\nholder='A'\nassets=['XXX']\n",
        "[[institution]]\ncode='1'\nname='a'\nfault='sloth'\n",
        "[[institution]]\ncode='1'\nname='a'\n[[account]]\ninstitution='1'\nnumber='1'\nholder='A'\nassets=[]\ncolour=1\n",
    ],
)
def test_a_wrong_seed_is_a_config_error(text: str, tmp_path: Path) -> None:
    seed = tmp_path / "seed.toml"
    seed.write_text(text)
    with pytest.raises(ConfigError, match=r"seed\.toml"):
        load_seed(seed)


def test_a_key_is_made_once_whoever_comes_first(tmp_path: Path) -> None:
    path, made, got = tmp_path / "keys" / "rail.pem", [], []
    barrier = threading.Barrier(8)

    def make() -> bytes:
        made.append(1)
        return b"key-%d" % len(made)

    def run() -> None:
        barrier.wait()
        got.append(load_or_make(path, make))

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), set(got)) == (1, {b"key-1"})
    assert path.stat().st_mode & 0o077 == 0
