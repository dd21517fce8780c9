"""Every refusal of the router, their order, and which row wins; on both twins."""

import gc

import pytest

from switch.domain.corridor import Hours, Measure
from switch.domain.document import DocumentType
from switch.domain.money import Asset, Money, Rate
from switch.domain.party import Place, Scheme
from switch.errors import REASONS, ConfigError, Refused
from switch.limits import CORRIDORS_MAX
from switch.routing._reference import Router
from tests.routing.tables import at, corridor, instruction, txn

RULED = corridor(
    papers=(DocumentType.HKID, DocumentType.RESIDENCE_PERMIT),
    purposes=("SALARY", "TUITION"),
    hours=Hours(7 * 60, 23 * 60),
    limits=(txn(1000),),
    papers_from=("GATE_HK",),
)

CASES = """
# who      papers            purpose   clock         amount  outcome
  ALFA     HKID              SALARY    12:00           1000  route
  ALFA     RESIDENCE_PERMIT  TUITION   07:00           1000  route
  ALFA     HKID              SALARY    22:59:59.999    1000  route
  GATE_HK  -                 SALARY    12:00           1000  route
  ALFA     -                 SALARY    12:00           1000  PAPERS_REQUIRED
  GATE_HK  PASSPORT          SALARY    12:00           1000  PAPERS_NOT_ACCEPTED
  ALFA     PASSPORT          SALARY    12:00           1000  PAPERS_NOT_ACCEPTED
  ALFA     HKID              -         12:00           1000  PURPOSE_REQUIRED
  ALFA     HKID              GIFT      12:00           1000  PURPOSE_NOT_ALLOWED
  ALFA     HKID              SALARY    06:59:59.999    1000  OUT_OF_HOURS
  ALFA     HKID              SALARY    23:00           1000  OUT_OF_HOURS
  ALFA     HKID              SALARY    12:00           1001  TXN_LIMIT
# the walk: each line mends what the line before was refused for
  ALFA     -                 -         03:00           9999  PAPERS_REQUIRED
  ALFA     PASSPORT          -         03:00           9999  PAPERS_NOT_ACCEPTED
  ALFA     HKID              -         03:00           9999  PURPOSE_REQUIRED
  ALFA     HKID              GIFT      03:00           9999  PURPOSE_NOT_ALLOWED
  ALFA     HKID              SALARY    03:00           9999  OUT_OF_HOURS
  ALFA     HKID              SALARY    12:00           9999  TXN_LIMIT
"""


@pytest.mark.parametrize("line", [line for line in CASES.splitlines() if line.strip() and not line.startswith("#")])
def test_outcome(router_class: type[Router], line: str) -> None:
    who, papers, purpose, clock, amount, expected = line.split()
    asked = instruction(
        participant=who,
        debit=Money(Asset.HKD, int(amount)),
        document=None if papers == "-" else DocumentType[papers],
        purpose="" if purpose == "-" else purpose,
    )
    router = router_class([RULED])
    if expected == "route":
        assert router.route(asked, at(clock)).corridor is RULED
        return
    with pytest.raises(Refused) as caught:
        router.route(asked, at(clock))
    assert caught.value.reason.name == expected


def test_the_walk_is_in_the_order_of_the_catalogue() -> None:
    walk = [line.split()[-1] for line in CASES.partition("# the walk")[2].splitlines()[1:] if line.strip()]
    order = list(REASONS)
    assert walk == sorted(walk, key=order.index)
    assert order.index("NO_ROUTE") == order.index(walk[0]) - 1


@pytest.mark.parametrize(
    "asked",
    [
        instruction(places=(Place.HK, Place.HK)),
        instruction(places=(Place.MO, Place.CN)),
        instruction(debit=Money(Asset.MOP, 1)),
        instruction(credit=Money(Asset.CNH, 1)),
        instruction(scheme=Scheme.EMAIL),
    ],
)
def test_no_route(router_class: type[Router], asked: object) -> None:
    for table in ([corridor()], [], [corridor(agent="012")]):
        with pytest.raises(Refused) as caught:
            router_class(table).route(asked, at("12:00"))  # type: ignore[arg-type]
        assert caught.value.reason.name == "NO_ROUTE"


def test_a_named_agent_goes_before_any_whatever_the_order(router_class: type[Router]) -> None:
    for rows in ([corridor("any"), corridor("named", agent="012")], [corridor("named", agent="012"), corridor("any")]):
        router = router_class(rows)
        found = {agent: router.route(instruction(agent=agent), 0).corridor.id for agent in ("", "012", "004")}
        assert found == {"": "any", "012": "named", "004": "any"}


def test_one_corridor_takes_several_schemes_and_another_may_take_the_rest(router_class: type[Router]) -> None:
    router = router_class(
        [corridor("two", schemes=(Scheme.MOBILE, Scheme.EMAIL)), corridor("id", schemes=(Scheme.FPS_ID,))]
    )
    found = [
        router.route(instruction(scheme=scheme), 0).corridor.id
        for scheme in (Scheme.MOBILE, Scheme.EMAIL, Scheme.FPS_ID)
    ]
    assert found == ["two", "two", "id"]


def test_figures_say_what_would_pass(router_class: type[Router]) -> None:
    router = router_class([RULED])

    def refusal(clock: str, document: DocumentType | None, purpose: str, amount: int) -> Refused:
        asked = instruction(document=document, purpose=purpose, debit=Money(Asset.HKD, amount))
        with pytest.raises(Refused) as caught:
            router.route(asked, at(clock))
        return caught.value

    papers = refusal("12:00", None, "SALARY", 1)
    assert (papers.field, papers.figures) == ("debtor.document", {"papers": "HKID,RESIDENCE_PERMIT"})
    purpose = refusal("12:00", DocumentType.HKID, "", 1)
    assert (purpose.field, purpose.figures) == ("purpose", {"purposes": "SALARY,TUITION"})
    early = refusal("06:00", DocumentType.HKID, "SALARY", 1)
    assert early.figures == {"opens": "2026-11-23T07:00:00+08:00", "open": "07:00", "close": "23:00"}
    late = refusal("23:30", DocumentType.HKID, "SALARY", 1)
    assert late.figures["opens"] == "2026-11-24T07:00:00+08:00"
    much = refusal("12:00", DocumentType.HKID, "SALARY", 1001)
    assert (much.field, much.figures) == (
        "debit.amount_minor",
        {"limit_minor": "1000", "currency": "HKD", "limit_id": "row.txn"},
    )


LIMITS = """
# measure  level  rate   max   debit  credit  account_level  outcome
  DEBIT    0      -      100     100     999              0  route
  DEBIT    0      -      100     101       1              0  TXN_LIMIT
  CREDIT   0      -      100     999     100              0  route
  CREDIT   0      -      100       1     101              0  TXN_LIMIT
  CREDIT   4      -      100       1     101              4  TXN_LIMIT
  CREDIT   4      -      100       1     101              3  route
  CREDIT   4      -      100       1     101              0  route
  DEBIT    0      1/7    100     700       1              0  route
  DEBIT    0      1/7    100     701       1              0  TXN_LIMIT
  DEBIT    0      7/3    100      42       1              0  route
  DEBIT    0      7/3    100      43       1              0  TXN_LIMIT
"""


@pytest.mark.parametrize("line", [line for line in LIMITS.splitlines() if line.strip() and not line.startswith("#")])
def test_limit_of_one_payment(router_class: type[Router], line: str) -> None:
    measure, level, rate, most, debit, credit, account_level, expected = line.split()
    reference = None if rate == "-" else Rate(*map(int, rate.split("/")))
    router = router_class([corridor(limits=(txn(int(most), Measure[measure], int(level), reference),))])
    asked = instruction(
        debit=Money(Asset.HKD, int(debit)), credit=Money(Asset.CNY, int(credit)), level=int(account_level)
    )
    if expected == "route":
        router.route(asked, 0)
        return
    with pytest.raises(Refused, match="TXN_LIMIT") as caught:
        router.route(asked, 0)
    assert caught.value.field == f"{measure.lower()}.amount_minor"


def test_the_first_of_several_limits_is_named(router_class: type[Router]) -> None:
    router = router_class([corridor(limits=(txn(500, id="a.txn"), txn(100, id="b.txn"), txn(50, id="c.txn")))])
    with pytest.raises(Refused) as caught:
        router.route(instruction(debit=Money(Asset.HKD, 200)), 0)
    assert caught.value.figures["limit_id"] == "b.txn"


def test_rows_that_answer_to_one_key_are_refused(router_class: type[Router]) -> None:
    rows = [corridor("one", schemes=(Scheme.EMAIL, Scheme.MOBILE)), corridor("two", schemes=(Scheme.MOBILE,))]
    with pytest.raises(ConfigError, match="'one' and 'two' both take MOBILE"):
        router_class(rows)


def test_too_many_rows_are_refused(router_class: type[Router]) -> None:
    with pytest.raises(ConfigError, match="at most"):
        router_class([corridor()] * (CORRIDORS_MAX + 1))


def test_a_hit_makes_nothing_new(router_class: type[Router]) -> None:
    router, asked = router_class([RULED]), instruction(document=DocumentType.HKID, purpose="SALARY")
    first = router.route(asked, at("12:00"))
    gc.collect()
    assert all(router.route(asked, at("12:00")) is first for _ in range(100))
    assert router.match(Place.HK, Place.CN, Asset.HKD, Asset.CNY, Scheme.MOBILE, "") is first
    assert router.match(Place.HK, Place.CN, Asset.HKD, Asset.MOP, Scheme.MOBILE, "") is None
