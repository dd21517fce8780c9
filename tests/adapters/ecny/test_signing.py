"""SM2, SM3 and SM4 as this rail uses them, against gmssl's own ends and against tampering."""

import asyncio
import base64
import stat
import threading
from pathlib import Path

import pytest
from gmssl.sm2 import CryptSM2

from adapters.ecny.signing import Bench, NoSigner, Sm2Signer, load_pair, open_text, seal_text, sm3
from switch.errors import CodecError, ConfigError, RailUnavailable

BODY = "<Document>陈大文</Document>".encode()


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sm2Signer, Sm2Signer, CryptSM2, CryptSM2]:
    """Two ends of a link, and gmssl's own class with the keys of the first and of the second."""
    keys = tmp_path_factory.mktemp("keys")
    one, other = load_pair(keys, "one"), load_pair(keys, "other")
    own = []
    for pair in (one, other):
        curve = CryptSM2(pair.private, pair.public, mode=1)
        curve.public_key = pair.public
        own.append(curve)
    return Sm2Signer(one, other.public), Sm2Signer(other, one.public), own[0], own[1]


def test_sm3_is_the_standard_s() -> None:
    assert sm3(b"abc").hex() == "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"  # GB/T 32905, A.1


def test_signature_agrees_with_gmssl(ends: tuple[Sm2Signer, Sm2Signer, CryptSM2, CryptSM2]) -> None:
    one, other, curve, _ = ends
    signature = one.sign(BODY)
    assert curve.verify_with_sm3(base64.b64decode(signature).hex(), BODY)
    assert other.verify(BODY, signature)
    assert not one.verify(BODY, signature)  # the other end's key is the one that counts
    assert not other.verify(BODY + b" ", signature)
    theirs = base64.b64encode(bytes.fromhex(curve.sign_with_sm3(BODY, "7" * 64))).decode()
    assert other.verify(BODY, theirs)


@pytest.mark.parametrize("text", ["", "AAAA", "not base64!", base64.b64encode(bytes(64)).decode(), "A" * 88, "é" * 88])
def test_malformed_signatures_are_wrong(ends: tuple[Sm2Signer, Sm2Signer, CryptSM2, CryptSM2], text: str) -> None:
    assert not ends[0].verify(BODY, text)


def test_envelope_agrees_with_gmssl(ends: tuple[Sm2Signer, Sm2Signer, CryptSM2, CryptSM2]) -> None:
    one, other, _, curve = ends
    key = bytes(range(16))
    envelope = one.wrap(key)
    assert other.unwrap(envelope) == key == curve.decrypt(base64.b64decode(envelope))
    assert other.unwrap(base64.b64encode(curve.encrypt(key)).decode()) == key
    assert one.wrap(key) != envelope


def test_spoilt_envelopes_are_refused(ends: tuple[Sm2Signer, Sm2Signer, CryptSM2, CryptSM2]) -> None:
    one, other, _, _ = ends
    raw = base64.b64decode(one.wrap(bytes(16)))
    spoilt = {
        "FORMAT": [raw[:-1], b"\x01" * 64 + raw[64:], b""],  # short; a point that is not on the curve; nothing
        "KEY": [raw[:-1] + bytes([raw[-1] ^ 1]), raw[:64] + bytes(32) + raw[96:]],
    }
    for rule, envelopes in spoilt.items():
        for envelope in envelopes:
            with pytest.raises(CodecError) as caught:
                other.unwrap(base64.b64encode(envelope).decode())
            assert (caught.value.path, caught.value.rule) == ("DEP", rule)
    with pytest.raises(CodecError):
        other.unwrap("***")
    with pytest.raises(CodecError):
        NoSigner().unwrap(one.wrap(bytes(16)))


def test_sealed_text_is_bound_to_key_and_field() -> None:
    key = bytes(range(16))
    sealed = seal_text(key, "debtor_name", "陈大文")
    assert open_text(key, "debtor_name", sealed) == "陈大文"
    assert "陈" not in sealed
    for other_key, name, text in [
        (bytes(16), "debtor_name", sealed),
        (key, "creditor_name", sealed),
        (key, "debtor_name", sealed[:-4] + "AAA="),
        (key, "debtor_name", "AAAA"),
        (key, "debtor_name", "?"),
    ]:
        with pytest.raises(CodecError) as caught:
            open_text(other_key, name, text)
        assert caught.value.path == name
        assert "陈" not in str(caught.value)


def test_keys_are_made_once_and_private(tmp_path: Path) -> None:
    pairs: list[object] = []
    threads = [threading.Thread(target=lambda: pairs.append(load_pair(tmp_path, "switch"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(pairs)) == 1
    assert stat.S_IMODE((tmp_path / "switch.sm2").stat().st_mode) == 0o600


@pytest.mark.parametrize("content", [b"", b"nothing", b"01 02", b"\xff\xfe", b"1 " + b"11" * 64])
def test_a_file_without_a_key_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "switch.sm2").write_bytes(content)
    with pytest.raises(ConfigError, match=r"switch\.sm2"):
        load_pair(tmp_path, "switch")


async def test_bench_is_bounded() -> None:
    bench, gate = Bench(True), threading.Event()
    waiting = [asyncio.create_task(bench.run(gate.wait)) for _ in range(Bench.WAITING_MAX)]
    await asyncio.sleep(0)  # one turn of the loop: all of them are in
    with pytest.raises(RailUnavailable):
        await bench.run(gate.is_set)
    gate.set()
    assert all(await asyncio.gather(*waiting))
    assert await bench.run(gate.is_set)
    bench.close()
    with pytest.raises(RailUnavailable):
        await bench.run(gate.is_set)


async def test_bench_closes_on_what_waits() -> None:
    bench, began, gate = Bench(True), threading.Event(), threading.Event()

    def work() -> bool:
        began.set()
        return gate.wait()

    running = asyncio.create_task(bench.run(work))
    assert await asyncio.to_thread(began.wait, 60)  # the thread has it: what it has not begun, a close ends
    queued, cancelled = (asyncio.create_task(bench.run(gate.wait)) for _ in range(2))
    await asyncio.sleep(0)
    cancelled.cancel()
    bench.close()
    gate.set()
    results = await asyncio.gather(running, queued, cancelled, return_exceptions=True)
    assert [type(result) for result in results] == [bool, RailUnavailable, asyncio.CancelledError]


async def test_bench_of_no_signer_works_in_place() -> None:
    off = Bench(False)
    assert await off.run(threading.current_thread) is threading.current_thread()
    off.close()
