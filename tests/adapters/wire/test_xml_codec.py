"""The XML codec, both twins: what is written, what is read, and the path and rule of every refusal."""

from typing import Any

import pytest

from switch.errors import CodecError
from switch.limits import AMOUNT_MINOR_MAX, RAIL_MESSAGE_BYTES_MAX
from tests.adapters.wire.agreement import twins, verdict
from tests.adapters.wire.sample import SAMPLE, Sample, sample

TWINS = twins(SAMPLE, Sample)

PLAIN = (
    '<?xml version="1.0" encoding="UTF-8"?><Msg xmlns="urn:sample:envelope" Ver="1"><Nb>1</Nb>'
    "<Head><Way>A&amp;B</Way><Sys><Cd>FPS</Cd></Sys><Svc>PAYC01</Svc></Head>"
    '<Doc xmlns="urn:sample:doc"><Id><Uetr>eb6305c9-1f7f-49de-aed0-16487c27b42d</Uetr>'
    "<CreDtTm>2025-07-01T09:30:15.000+08:00</CreDtTm></Id>"
    '<Amt Ccy="HKD">123.45</Amt><Pty><Nm>CHAN Tai Man</Nm></Pty></Doc></Msg>'
)
FULL = sample(
    note='say "hi" & <go>',
    local=1_751_333_415_000,
    fee_minor=5,
    fee_currency="CNY",
    name="陳大文 <&> \"'",
    born="1990-02-28",
    scheme="R&D",
    account=" 012-345 <6>",
    remark="",
    digits="007",
    flag="Y",
)


@pytest.fixture(params=["plain", "compiled"])
def codec(request: pytest.FixtureRequest) -> Any:
    return getattr(TWINS, request.param)


def test_writes_required_fields_and_constants_only(codec: Any) -> None:
    assert codec.write(sample()) == PLAIN.encode()
    assert codec.read(PLAIN.encode()) == sample()


def test_writes_every_field(codec: Any) -> None:
    written = codec.write(FULL).decode()
    for piece in (
        'Ver="1" Note="say &quot;hi&quot; &amp; &lt;go&gt;">',
        "<Lcl>2025-07-01T09:30:15</Lcl>",
        '<Fee Ccy="CNY" Tp="F&lt;">0.05</Fee>',
        "<Nm>陳大文 &lt;&amp;&gt; \"'</Nm><Dt>1990-02-28</Dt>",
        "<Acct><Tp>R&amp;D</Tp><Std>X</Std><Id> 012-345 &lt;6&gt;</Id></Acct>",
        '<Tail><Rmk></Rmk><Raw xmlns="urn:sample:raw"><Dgt>007</Dgt></Raw><Flag On="Y"></Flag></Tail>',
    ):
        assert piece in written
    assert codec.read(written.encode()) == FULL
    assert type(codec.read(written.encode())) is Sample


WRITE = """
# field          value                                      path                 rule
  number         None                                       Nb                   MISSING
  version        None                                       @Ver                 MISSING
  currency       None                                       Doc/Amt/@Ccy         MISSING
  uetr           None                                       Doc/Id/Uetr          MISSING
  fee_minor      5                                          Doc/Fee/@Ccy         MISSING
  fee_currency   "CNY"                                      Doc/Fee              MISSING
  number         "1"                                        Nb                   KIND
  number         True                                       Nb                   KIND
  number         1.0                                        Nb                   KIND
  name           7                                          Doc/Pty/Nm           KIND
  code           b"PAYC01"                                  Head/Svc             KIND
  number         -1                                         Nb                   SIGN
  number         10**15                                     Nb                   LENGTH
  number         10**40                                     Nb                   LENGTH
  amount_minor   -1                                         Doc/Amt              SIGN
  amount_minor   10**15                                     Doc/Amt              LENGTH
  created        -1                                         Doc/Id/CreDtTm       DATE
  created        253402272000000                            Doc/Id/CreDtTm       DATE
  local          10**30                                     Doc/Id/Lcl           DATE
  name           ""                                         Doc/Pty/Nm           LENGTH
  name           "x" * 141                                  Doc/Pty/Nm           LENGTH
  name           " x"                                       Doc/Pty/Nm           CHARACTER
  name           "x "                                       Doc/Pty/Nm           CHARACTER
  name           "a\\tb"                                    Doc/Pty/Nm           CHARACTER
  name           "a\\x7fb"                                  Doc/Pty/Nm           CHARACTER
  name           "a\\x85b"                                  Doc/Pty/Nm           CHARACTER
  name           "a\\ud800"                                 Doc/Pty/Nm           CHARACTER
  name           "a\\uffff"                                 Doc/Pty/Nm           CHARACTER
  account        "é"                                        Doc/Pty/Acct/Id      CHARACTER
  version        "1a"                                       @Ver                 CHARACTER
  version        "１"                                       @Ver                 CHARACTER
  digits         "12"                                       Doc/Tail/Raw/Dgt     LENGTH
  code           "payc01"                                   Head/Svc             CODE
  uetr           "eb6305c91f7f49deaed016487c27b42d"         Doc/Id/Uetr          FORMAT
  uetr           "EB6305C9-1F7F-49DE-AED0-16487C27B42D"     Doc/Id/Uetr          FORMAT
  uetr           "eb6305c9-1f7f-19de-aed0-16487c27b42d"     Doc/Id/Uetr          VERSION
  uetr           "eb6305c9-1f7f-49de-ced0-16487c27b42d"     Doc/Id/Uetr          VARIANT
  born           "1990-2-28"                                Doc/Pty/Dt           FORMAT
  born           "1990-02-29"                               Doc/Pty/Dt           DATE
  born           "0000-01-01"                               Doc/Pty/Dt           DATE
"""


@pytest.mark.parametrize("row", [row for row in WRITE.splitlines() if row.strip() and not row.startswith("#")])
def test_refuses_to_write(codec: Any, row: str) -> None:
    field, rest = row.split(maxsplit=1)
    value, path, rule = rest.rsplit(maxsplit=2)
    assert verdict(codec.write, sample(**{field: eval(value)})) == ("refused", path, rule)


READ = """
# instead of                 | stands                                         | path          | rule, or = for taken
  <?xml version="1.0" encoding="UTF-8"?>|                                     |               | =
  <?xml version="1.0" encoding="UTF-8"?>|<?xml version='1.0'?><!-- c -->      |               | =
  <Nb>1</Nb>                 | <Nb>1</Nb>\\r\\n\\t                            |               | =
  <Nb>1                      |<Nb>&#49;                                       |               | =
  <Nb>1                      |<Nb><!-- c -->1                                 |               | =
  Tai Man                    |T<![CDATA[ai Man]]>                             |               | =
  A&amp;B                    |<![CDATA[A&B]]>                                 |               | =
  Tai                        |&#84;ai                                         |               | =
  <Amt Ccy="HKD">            |<Amt  Ccy = 'HKD' >                             |               | =
  <Sys><Cd>FPS</Cd></Sys>    |                                                |               | =
  </Svc>                     |</Svc><Sgntr><x:y xmlns:x="u" z="1">t<!-- c --></x:y></Sgntr>| | =
  </Svc>                     |</Svc><Sgntr/><Sgntr/>                          |               | =
  <Head>                     |<e:Head xmlns:e="urn:sample:envelope"></e:Head> | Head/Way      | MISSING
  <Nb>1</Nb>                 |<e:Nb xmlns:e="urn:sample:envelope">1</e:Nb>    |               | =
  Ver="1"                    |Ver="1" xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:schemaLocation="a b"| | =
  Ver="1"                    |Ver="1" xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:type="a"| Msg | UNKNOWN
  09:30:15.000+08:00         |01:30:15Z                                       |               | =
  09:30:15.000+08:00         |09:30:15                                        |               | =
  09:30:15.000+08:00         |00:30:15.000999999-01:00                        |               | =
  123.45                     |0123.450                                        | Doc/Amt       | DECIMALS
  <Msg                       |<msg                                            | /             | UNKNOWN
  urn:sample:envelope        |urn:other                                       | Msg           | NAMESPACE
  urn:sample:doc             |urn:sample:envelope                             | Doc           | NAMESPACE
  <Nb>1</Nb>                 |<Nb xmlns="urn:x">1</Nb>                        | Nb            | NAMESPACE
  </Svc>                     |</Svc><Sgntr xmlns="u"/>                        | Head          | NAMESPACE
  <Nb>1</Nb>                 |                                                | Nb            | MISSING
  <Pty><Nm>CHAN Tai Man</Nm></Pty>|                                           | Doc/Pty       | MISSING
  Ver="1"                    |                                                | @Ver          | MISSING
  <Cd>FPS</Cd>               |                                                |               | =
  <Way>A&amp;B</Way>         |                                                | Head/Way      | MISSING
  A&amp;B                    |A&amp;C                                         | Head/Way      | CONST
  FPS                        |FPX                                             | Head/Sys/Cd   | CONST
  <Nb>1</Nb>                 |<Nb>1</Nb><Nb>1</Nb>                            | Nb            | REPEATED
  </Svc>                     |</Svc><Way>A&amp;B</Way>                        | Head/Way      | REPEATED
  <Sys><Cd>FPS</Cd></Sys><Svc>PAYC01</Svc>|<Svc>PAYC01</Svc><Sys><Cd>FPS</Cd></Sys>| Head/Sys | ORDER
  <Nb>1</Nb>                 |<Nb>1</Nb><New/>                                | Msg           | UNKNOWN
  <Nb>1                      |<Nb><b/>1                                       | Nb            | UNKNOWN
  Ver="1"                    |Ver="1" New="1"                                 | Msg           | UNKNOWN
  <Nb>1</Nb>                 |<Nb x="1">1</Nb>                                | Nb            | UNKNOWN
  <Nb>1</Nb>                 |<Nb>1</Nb>x                                     | Msg           | MIXED
  </Pty>                     |</Pty><Tail></Tail>                             | Doc/Tail      | MISSING
  </Pty>                     |</Pty><Tail/>                                   | Doc/Tail      | MISSING
  </Pty>                     |</Pty><Tail><Rmk/></Tail>                       | ok            | remark
  <Nb>1                      |<Nb>                                            | Nb            | FORMAT
  <Nb>1                      |<Nb> 1                                          | Nb            | FORMAT
  <Nb>1                      |<Nb>1234567890123456                            | Nb            | LENGTH
  123.45                     |123.                                            | Doc/Amt       | FORMAT
  123.45                     |.45                                             | Doc/Amt       | FORMAT
  123.45                     |1,123.45                                        | Doc/Amt       | FORMAT
  123.45                     |NaN                                             | Doc/Amt       | FORMAT
  123.45                     |1e2                                             | Doc/Amt       | FORMAT
  123.45                     |１２３.45                                       | Doc/Amt       | FORMAT
  123.45                     |-123.45                                         | Doc/Amt       | SIGN
  123.45                     |+123.45                                         | Doc/Amt       | SIGN
  123.45                     |12345678901234.50                               | Doc/Amt       | LENGTH
  123.45                     |12345678901234.5                                | Doc/Amt       | LENGTH
  HKD                        |USD                                             | Doc/Amt/@Ccy  | CODE
  CHAN                       |C\\tAN                                          | Doc/Pty/Nm    | CHARACTER
  CHAN                       |C&#x85;AN                                       | Doc/Pty/Nm    | CHARACTER
  CHAN                       | CHAN                                           | Doc/Pty/Nm    | CHARACTER
  2025-07-01T                |2025-02-29T                                     | Doc/Id/CreDtTm| DATE
  2025-07-01T                |1969-07-01T                                     | Doc/Id/CreDtTm| DATE
  2025-07-01T                |2025-07-01t                                     | Doc/Id/CreDtTm| FORMAT
  09:30:15                   |24:00:00                                        | Doc/Id/CreDtTm| TIME
  09:30:15                   |23:59:60                                        | Doc/Id/CreDtTm| TIME
  +08:00                     |+14:01                                          | Doc/Id/CreDtTm| OFFSET
  +08:00                     |+0800                                           | Doc/Id/CreDtTm| FORMAT
  Tai                        |T&ai;                                           | Doc/Pty/Nm    | ENTITY
  Tai                        |T&#0;                                           | Doc/Pty/Nm    | CHARACTER
  Tai                        |T]]>                                            | Doc/Pty/Nm    | WELL_FORMED
  Tai                        |T<?p?>                                          | Doc/Pty/Nm    | PI
  <Msg                       |<!DOCTYPE Msg><Msg                              | /             | DOCTYPE
  </Msg>                     |</Msg>x                                         | /             | WELL_FORMED
  </Msg>                     |                                                | Msg           | WELL_FORMED
  encoding="UTF-8"           |encoding="Big5"                                 | /             | ENCODING
"""


@pytest.mark.parametrize("row", [row for row in READ.splitlines() if row.strip() and not row.startswith("#")])
def test_reads_or_refuses(codec: Any, row: str) -> None:
    old, new, path, rule = (
        cell.replace("\\r", "\r").replace("\\n", "\n").replace("\\t", "\t") for cell in row[2:].split("|")
    )
    new = new.rstrip(" ") if new.rstrip(" ").lstrip(" ") != "CHAN" else " CHAN"
    assert old.rstrip(" ") in PLAIN
    given = PLAIN.replace(old.rstrip(" "), new, 1).encode()
    if rule.strip() == "=":
        assert verdict(codec.read, given) == ("taken", sample())
    elif path.strip() == "ok":
        assert verdict(codec.read, given) == ("taken", sample(**{rule.strip(): ""}))
    else:
        assert verdict(codec.read, given) == ("refused", path.strip(), rule.strip())


def test_extremes_come_back(codec: Any) -> None:
    for created in (0, 1, 951_782_399_999, 951_868_800_000, 4_107_542_400_000, 253_402_271_999_999):
        for amount_minor in (0, 1, 99, 100, AMOUNT_MINOR_MAX):
            given = sample(created=created, amount_minor=amount_minor, name="é" * 140)
            assert codec.read(codec.write(given)) == given


def test_local_time_loses_what_is_finer_than_a_second(codec: Any) -> None:
    assert codec.read(codec.write(sample(local=1_999))) == sample(local=1_000)


def test_a_refusal_holds_no_value(codec: Any) -> None:
    with pytest.raises(CodecError) as refused:
        codec.write(sample(name="SECRET\x00"))
    assert "SECRET" not in str(refused.value)
    assert refused.value.__cause__ is None
    with pytest.raises(CodecError) as refused:
        codec.read(PLAIN.replace("CHAN", "SECRET\t").encode())
    assert "SECRET" not in str(refused.value)


def test_size_is_bounded_both_ways(codec: Any) -> None:
    padded = PLAIN.replace("<Nb>", " " * (RAIL_MESSAGE_BYTES_MAX - len(PLAIN)) + "<Nb>").encode()
    assert codec.read(padded) == sample()
    assert verdict(codec.read, padded + b" ") == ("refused", "/", "SIZE")


@pytest.mark.parametrize("value", [None, "", 7])
def test_takes_bytes_only(codec: Any, value: object) -> None:
    with pytest.raises((TypeError, AttributeError)):
        codec.read(value)
