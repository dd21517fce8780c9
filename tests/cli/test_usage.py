"""What needs no switch: help, usage errors, the catalogue, settings, versions, and the exit codes of each."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from rich.console import Console

from switch.cli import application, operations, output
from switch.errors import REASONS
from switch.settings import Settings
from tests.cli.support import Cli


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.chdir(tmp_path)
    return Cli()


def commands(group: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    found = getattr(group, "commands", None)
    if found is None:
        yield path, group
        return
    for name, command in found.items():
        yield from commands(command, (*path, name))


COMMANDS = dict(commands(typer.main.get_command(application())))
# Section 8 of the foundation asks for these; every reading one takes --json.
READING = """
quote  get  payments  watch  check-route  positions  events tail  recover  reasons  version  reconcile
config show  rail list  rail payments  participants get  participants list
windows arrangements  windows list  windows get  windows watch  windows statement
windows verify  windows gaps  status
topics check  dlq list
"""
OTHERS = """
demo  serve  pay  config check  rail serve  rail fault
participants create  participants suspend  participants resume  participants set-cap  participants set-rate
windows cut  windows close  windows confirm  windows default  windows excuse
settler  rebuild  relay  topics ensure  dlq replay  dlq discard
"""


def names(text: str) -> set[tuple[str, ...]]:
    return {tuple(name.split()) for line in text.strip().splitlines() for name in line.split("  ") if name.strip()}


def test_every_command_is_here_and_explained() -> None:
    assert COMMANDS.keys() == names(READING) | names(OTHERS)
    for path, command in COMMANDS.items():
        assert getattr(command, "help", ""), path
        for parameter in getattr(command, "params", ()):
            assert getattr(parameter, "help", ""), (path, parameter)


@pytest.mark.parametrize("path", sorted(names(READING)), ids=" ".join)
def test_every_reading_command_prints_json_when_asked(path: tuple[str, ...]) -> None:
    assert "--json" in {name for parameter in getattr(COMMANDS[path], "params", ()) for name in parameter.opts}


@pytest.mark.parametrize("path", sorted(COMMANDS), ids=" ".join)
def test_help(path: tuple[str, ...], cli: Cli) -> None:
    ran = cli(*path, "--help")
    assert (ran.code, ran.err) == (0, "")
    assert " ".join(("bayswitch", *path)) in ran.out


def test_help_documents_the_exit_codes(cli: Cli) -> None:
    text = " ".join(cli("--help").out.split())
    assert all(code in text for code in ("0 done", "1 a payment", "2 the command", "3 refused", "4 unav", "5 IN_DOUBT"))


PARTIES = "--payee-name N --payer-name N --payer-account A --from-place HK --to-place HK"
# command | what the error says; each ends with 2 and calls nobody
WRONG = f"""
                                                             | Usage
nope                                                         | No such command
pay                                                          | Missing argument
pay HKD_1 x --scheme mobile {PARTIES}                        | an amount is 'ASSET AMOUNT'
pay HKD+1.001 x --scheme mobile {PARTIES}                    | DECIMALS
pay HKD+0 x --scheme mobile {PARTIES}                        | ZERO
pay HKD+1 x --scheme pigeon {PARTIES}                        | is not one of account, mobile
pay HKD+1 x --scheme mobile --papers HKID {PARTIES}          | papers are TYPE:NUMBER
quote                                                        | fix one side
quote --debit HKD+1 --credit CNY+1                           | fix one side
quote --debit HKD+1 --to-place ZZ                            | is not one of hk, mo, cn
payments --state paid                                        | is not one of prepared, committed
payments --since yesterday                                   | a time is RFC 3339
payments --count 0                                           | count
participants create X Name --place ZZ --why y                | is not one of hk, mo, cn
participants set-rate P HKD CNY 0.9 --why y                  | a rate is NUMERATOR/DENOMINATOR
participants set-rate P HKD CNY 1/0 --why y                  | a rate is NUMERATOR/DENOMINATOR
participants suspend X                                       | --why
windows confirm hkd-rtgs.1                                   | name a participant and an amount, or --all
windows confirm hkd-rtgs.1 ALFA HKD+1 --all --reference R    | name a participant and an amount, or --all
windows confirm hkd-rtgs.1 ALFA HKD+1                        | --reference is missing
windows confirm hkd-rtgs.1 ALFA USD+1 --reference R          | an amount is 'ASSET AMOUNT'
windows confirm hkd-rtgs.1 ALFA HKD+0 --reference R          | ZERO
windows default hkd-rtgs.1 ALFA                              | --why
windows statement hkd-rtgs.1 --format xml                    | is not one of json, csv, camt.053, camt.054
windows list --count 501                                     | count
rail serve nope                                              | no rail 'nope'
rail fault silent --control here                             | host:port
--tls-cert a.pem positions                                   | --tls-cert and --tls-key go together
--tls-ca absent.pem positions                                | absent.pem cannot be read
events --topic                                               | kafka_bootstrap
events tail                                                  | kafka_bootstrap
topics check                                                 | kafka_bootstrap
relay                                                        | kafka_bootstrap
dlq list                                                     | kafka_bootstrap
dlq replay 7                                                 | is not PARTITION/OFFSET
dlq discard 0/7                                              | --why
events                                                       | data_dir: there is no store
recover                                                      | data_dir: there is no store
version --server                                             | data_dir: there is no store
config show --config absent.toml                             | no such file
config check                                                 | tls_cert: nobody could be named
serve                                                        | tls_cert: nobody could be named
"""


@pytest.mark.parametrize("row", WRONG.strip("\n").splitlines())
def test_wrong_usage_ends_with_2(row: str, cli: Cli, tmp_path: Path) -> None:
    command, _, says = row.partition("|")
    ran = cli(*(word.replace("+", " ") for word in command.split()))
    assert ran.code == 2
    assert says.strip() in " ".join((ran.out + ran.err).split())
    assert not list(tmp_path.iterdir()), "a refused command leaves nothing behind"


# environment | what `config check` says, and so `serve`
REFUSED = """
BAYSWITCH_DEMO_IDENTITY=true BAYSWITCH_LISTEN_HOST=0.0.0.0            | listen_host 0.0.0.0 is not loopback
BAYSWITCH_DEMO_IDENTITY=true BAYSWITCH_TLS_CERT=a.pem                 | demo_identity: not together with TLS
BAYSWITCH_TLS_CERT=a.pem BAYSWITCH_TLS_KEY=a.pem                      | tls_client_ca
BAYSWITCH_TLS_CERT=a.pem BAYSWITCH_TLS_KEY=b BAYSWITCH_TLS_CLIENT_CA=c | cannot be read
BAYSWITCH_DEMO_IDENTITY=true BAYSWITCH_RAILS={"nope":"127.0.0.1:1"}   | rails: there is no rail nope
BAYSWITCH_DEMO_IDENTITY=true BAYSWITCH_RAILS={"hkfps":"somewhere"}    | is not host:port
BAYSWITCH_DEMO_IDENTITY=true BAYSWITCH_RAIL_INSTITUTIONS={"nope":"1"} | rails: there is no rail nope
BAYSWITCH_DEMO_IDENTITY=true BAYSWITCH_RULES_DIR=absent               | rules_dir: absent is not a folder
BAYSWITCH_NOPE=1                                                      | unknown setting 'nope'
BAYSWITCH_DEMO_IDENTITY=true BAYSWITCH_REDIS_URL=nonsense             | redis_url
"""


@pytest.mark.parametrize("row", REFUSED.strip().splitlines())
def test_serve_refuses_to_start_with_the_setting_to_change(row: str, cli: Cli) -> None:
    texts, _, says = row.partition("|")
    environment = dict(text.split("=", 1) for text in texts.split())
    ran = cli("serve", **environment)
    assert (ran.code, ran.out) == (2, "")
    assert says.strip() in ran.err
    assert ran.err.count("\n") == 1


def test_config_check_says_what_is_not_reached(cli: Cli) -> None:
    ran = cli("config", "check", BAYSWITCH_DEMO_IDENTITY="true", BAYSWITCH_RAILS='{"hkfps": "127.0.0.1:7501"}')
    assert ran.code == 0
    assert "settings are right" in ran.out
    assert "no address for alipay, ecny, mofps" in ran.out


def test_config_show_names_every_origin_and_no_secret(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "bayswitch.toml").write_text('listen_port = 7401\nidentity_key = "swordfish"\n')
    url = "redis://user:hunter2@10.0.0.1/0"
    ran = cli("config", "show", "--json", BAYSWITCH_REDIS_URL=url, BAYSWITCH_RAIL_SIGNING="false")
    rows = {row["setting"]: (row["value"], row["from"]) for row in ran.json}
    assert rows.keys() == Settings.model_fields.keys()
    assert rows["listen_port"] == (7401, "bayswitch.toml")
    assert rows["identity_key"] == ("********", "bayswitch.toml")
    assert rows["redis_url"] == ("redis://user:********@10.0.0.1/0", "BAYSWITCH_REDIS_URL")
    assert rows["shards"] == (1, "default")
    plain = cli("config", "show", BAYSWITCH_REDIS_URL=url, BAYSWITCH_RAIL_SIGNING="false").out
    assert "rail_signing is off" in plain
    assert "hunter2" not in plain
    assert "swordfish" not in plain


def test_reasons_are_the_catalogue(cli: Cli) -> None:
    rows = cli("reasons", "--json").json
    assert [row["reason"] for row in rows] == list(REASONS)
    plain = cli("reasons").out.splitlines()
    assert len(plain) == 1 + len(REASONS)
    for line, reason in zip(plain[1:], REASONS.values(), strict=True):
        assert line.startswith(f"{reason.name} ")
        assert line.endswith(reason.advice), "nothing is cut in a pipe"


def test_version_says_which_twins_run(cli: Cli) -> None:
    found = cli("version", "--json").json
    assert found["routing"] in ("compiled", "plain Python")
    assert {"bayswitch", "python", "codecs", "grpcio", "redis", "aiokafka"} <= found.keys()
    assert "routing" in cli("version").out


def test_a_fault_of_ours_prints_no_value(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    personal = "CHAN TAI MAN"

    def broken(**_: object) -> None:
        raise RuntimeError(personal)

    monkeypatch.setattr("switch.cli.operations.load_settings", broken)
    ran = cli("config", "show")
    assert ran.code == 70
    assert "a fault of ours: RuntimeError" in ran.err
    assert personal not in ran.err + caplog.text
    assert "in broken" in caplog.text


def test_a_table_in_a_narrow_terminal_keeps_ids_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "console", Console(force_terminal=True, width=60, color_system=None))
    uetr = "11111111-1111-4111-8111-111111111111"
    output.table("t", ("uetr", "text", "sum"), [(uetr, "word " * 20, 5)], right=("sum",), fold=("text",))
    lines = capsys.readouterr().out.splitlines()
    assert any(uetr in line for line in lines)
    assert " ".join(" ".join(lines).split()).count("word") == 20


def test_a_table_in_a_narrow_terminal_loses_no_column(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(output, "console", Console(force_terminal=True, width=80, color_system=None))
    monkeypatch.setenv("COLUMNS", "80")
    operations.reasons()
    words = " ".join(capsys.readouterr().out.split())
    for heading in ("reason", "gRPC", "ISO", "retry?", "ask status?", "what to do"):
        assert heading in words
    assert "yes, as a new payment" in words
    assert "SAN names a" in words


def test_a_table_in_a_pipe_lines_up_wide_characters(capsys: pytest.CaptureFixture[str]) -> None:
    output.table("", ("name", "n"), [("测试", 1), ("abcd", 22), ("", 3)], right=("n",))
    assert capsys.readouterr().out == "name   n\n测试   1\nabcd  22\n       3\n"


def test_a_rail_does_not_load_what_only_the_switch_needs() -> None:
    """A command loads the module it is in: starting is what an operator waits for."""
    text = "import sys; from switch.cli import application; application(['--as', 'pay', 'rail', 'serve']); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout.split()
    assert "adapters" in loaded
    assert not {"aiokafka", "redis", "sqlalchemy", "switch.app"} & set(loaded)


@pytest.mark.parametrize(
    ("line", "loaded"),
    [
        ("get UETR", {"get"}),
        ("--as status --tls-ca=serve get UETR", {"get"}),
        ("--server serve windows get W", {"windows"}),
        ("--help", set()),
        ("nonsense", set()),
        ("", set()),
    ],
)
def test_the_command_is_found_before_its_module_is_loaded(line: str, loaded: set[str]) -> None:
    known = set(typer.main.get_command(application()).commands)  # type: ignore[attr-defined]
    found = typer.main.get_command(application(line.split()))
    assert set(found.commands) == (loaded or known)  # type: ignore[attr-defined]
