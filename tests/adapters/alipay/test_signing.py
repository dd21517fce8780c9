"""RSA2 and the bytes it covers."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.alipay.signing import (
    outer_members,
    read_json,
    signer_of,
    string_to_sign,
    verifier_of,
    write_json,
)
from switch.errors import CodecError, ConfigError
from tests.vectors import Vector, vectors


@pytest.mark.parametrize("vector", vectors("alipay_sign_string"), ids=lambda vector: vector.reason)
def test_string_to_sign_of_the_vectors(vector: Vector) -> None:
    told = vector.notes.rpartition("sha256 = ")[2]
    assert hashlib.sha256(string_to_sign(vector.input)).hexdigest() == told
    with_more = {**vector.input, "sign": "x", "notify_url": ""}
    assert string_to_sign(with_more) == string_to_sign(vector.input)


def test_a_signature_is_of_one_text_by_one_key(keys_dir: Path, tmp_path: Path) -> None:
    signature = signer_of(keys_dir, "app").sign(b"text")
    verifier = verifier_of(keys_dir, "app")
    assert len(signature) == 344  # the length the platform's tables give
    assert verifier.verifies(b"text", signature)
    assert not verifier.verifies(b"texT", signature)
    assert not verifier_of(keys_dir, "rail").verifies(b"text", signature)
    for broken in ("", "!", "AAAA", signature[:-4], signature + "\n", "é"):
        assert not verifier.verifies(b"text", broken)


def test_keys_are_made_once_and_a_public_key_is_enough(keys_dir: Path, tmp_path: Path) -> None:
    signature = signer_of(keys_dir, "rail").sign(b"text")
    assert signer_of(keys_dir, "rail").sign(b"text") == signature
    verifier_of(keys_dir, "rail")
    (tmp_path / "rail_public.pem").write_bytes((keys_dir / "rail_public.pem").read_bytes())
    assert verifier_of(tmp_path, "rail").verifies(b"text", signature)
    assert not (tmp_path / "rail_private.pem").exists()


def test_a_file_that_is_no_key_is_named(tmp_path: Path) -> None:
    (tmp_path / "app_private.pem").write_text("no key")
    (tmp_path / "rail_public.pem").write_text("no key")
    with pytest.raises(ConfigError, match=r"app_private\.pem"):
        signer_of(tmp_path, "app")
    with pytest.raises(ConfigError, match=r"rail_public\.pem"):
        verifier_of(tmp_path, "rail")


# text                                      what is signed of member a, or the rule it breaks
OUTER = """
{"a":{"b":"1"},"sign":"s"}                  | {"b":"1"}
{"a": { "b" : "}{" } , "sign":"s"}          | { "b" : "}{" }
{ "sign":"s","a":{"b":"\\u0061\\/"}}        | {"b":"\\u0061\\/"}
 {"x":"a","a":{"c":[{"d":"\\"}"}]}}         | {"c":[{"d":"\\"}"}]}
{"a":{"b":"1"},"a":{"b":"2"}}               | TWICE
{"a":{"b":"1","b":"2"}}                     | TWICE
{"a":{"b":"1"}} x                           | FORMAT
{"a":{"b":"1"}                              | FORMAT
{"a":{"b":1e999,"c":NaN}}                   | NUMBER
["a"]                                       | FORMAT
{1:2}                                       | FORMAT
{}                                          | FORMAT
"""


@pytest.mark.parametrize("line", OUTER.strip("\n").splitlines())
def test_the_signed_text_is_what_was_sent(line: str) -> None:
    text, expected = (part.rstrip() if i == 0 else part.strip() for i, part in enumerate(line.split(" | ")))
    if expected.isupper() and "{" not in expected:
        with pytest.raises(CodecError) as error:
            outer_members(text)
        assert error.value.rule == expected
    else:
        assert outer_members(text)["a"][1] == expected


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(CodecError):
        read_json("[" * 60_000)


def test_numbers_are_their_text() -> None:
    assert read_json('{"a":12.10,"b":1E2,"c":7}') == {"a": "12.10", "b": "1E2", "c": "7"}


@given(st.text(), st.binary(max_size=200))
def test_any_text_is_read_or_refused(text: str, data: bytes) -> None:
    for given_text in (text, data.decode("latin-1"), '{"a":' + text):
        for read in (read_json, outer_members):
            try:
                read(given_text)
            except CodecError:
                continue


@given(st.dictionaries(st.text(max_size=8), st.dictionaries(st.text(max_size=8), st.text(max_size=20)), min_size=1))
def test_what_is_written_is_found_again(members: dict[str, dict[str, str]]) -> None:
    found = outer_members(write_json(members))
    assert {name: value for name, (value, _) in found.items()} == members
    assert all(text == write_json(members[name]) for name, (_, text) in found.items())
