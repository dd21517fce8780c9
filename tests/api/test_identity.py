"""Who calls: certificates, demo metadata, and servers that must not start."""

import datetime
import ipaddress
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest
from bayswitch.v1 import payment_pb2
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from switch.api import Server, ServerOptions
from switch.errors import ConfigError
from tests.api.support import Api, Stubs, parts_of, refusal, serving, submit_request
from tests.fakes import World

TODAY = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


class Issuer:
    """A certificate authority of a test."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.pem = self._sign(self._name, self._key, x509.BasicConstraints(ca=True, path_length=None))

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, *extensions: x509.ExtensionType) -> bytes:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(TODAY - datetime.timedelta(days=3650))
            .not_valid_after(TODAY + datetime.timedelta(days=3650))
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def issue(self, *names: x509.GeneralName, common_name: str = "anything") -> tuple[bytes, bytes]:
        """(key, certificate) as PEM, with these SANs."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
        extensions = [x509.SubjectAlternativeName(names)] if names else []
        text = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return text, self._sign(subject, key, *extensions)


OURS, STRANGER = Issuer("ours"), Issuer("stranger")


def uri(text: str) -> x509.GeneralName:
    return x509.UniformResourceIdentifier(text)


@pytest.fixture
def tls(tmp_path: Path) -> dict[str, Any]:
    """The options of a server with TLS."""
    key, cert = OURS.issue(x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    files = {"tls_key": key, "tls_cert": cert, "tls_client_ca": OURS.pem}
    for name, text in files.items():
        (tmp_path / name).write_bytes(text)
    return {name: tmp_path / name for name in files} | {"demo_identity": False}


def client(api: Api, key: bytes | None, cert: bytes | None) -> grpc.aio.Channel:
    credentials = grpc.ssl_channel_credentials(OURS.pem, key, cert)
    return grpc.aio.secure_channel(f"localhost:{api.server.port}", credentials)


async def submit_as(api: Api, key: bytes | None, cert: bytes | None, claimed: str = "") -> payment_pb2.Payment:
    async with client(api, key, cert) as channel:
        stubs = Stubs(channel, claimed)
        payment: payment_pb2.Payment = (await stubs.call(stubs.payments.SubmitPayment, submit_request())).payment
        return payment


async def test_a_certificate_names_the_participant_and_metadata_does_not(tls: dict[str, Any]) -> None:
    async with serving(**tls) as api:
        key, cert = OURS.issue(uri("spiffe://bayswitch.example/participant/ALFA"), x509.DNSName("alfa.example"))
        assert (await submit_as(api, key, cert)).participant == "ALFA"
        assert (await submit_as(api, key, cert, claimed="BRAVO")).participant == "ALFA"


NAMELESS: Sequence[tuple[x509.GeneralName, ...]] = (
    (),
    (x509.DNSName("ALFA"),),
    (x509.DNSName("spiffe://bayswitch.example/participant/ALFA"),),
    (x509.RFC822Name("ALFA@bayswitch.example"),),
    (uri("https://bayswitch.example/participant/ALFA"),),
    (uri("spiffe://bayswitch.example/ALFA"),),
    (uri("spiffe://bayswitch.example/participant/alfa"),),
    (uri("spiffe://bayswitch.example/participant/ALFA/x"),),
    (uri("spiffe://bayswitch.example/participant/ALFAALFAALFAALFAALFA"),),
    (uri("spiffe://a.example/participant/ALFA"), uri("spiffe://a.example/participant/BRAVO")),
)


@pytest.mark.parametrize("names", NAMELESS, ids=str)
async def test_a_certificate_that_names_nobody_is_refused(
    tls: dict[str, Any], names: Sequence[x509.GeneralName]
) -> None:
    async with serving(**tls) as api:
        key, cert = OURS.issue(*names, common_name="ALFA")
        refused = await refusal(submit_as(api, key, cert, claimed="ALFA"))
        assert (refused.code, refused.reason) == ("UNAUTHENTICATED", "CALLER_UNKNOWN")
        assert not api.world.store.payments


async def test_without_our_certificate_there_is_no_connection(tls: dict[str, Any]) -> None:
    async with serving(**tls) as api:
        for key, cert in ((None, None), STRANGER.issue(uri("spiffe://bayswitch.example/participant/ALFA"))):
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await submit_as(api, key, cert)
            assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
        with pytest.raises(grpc.aio.AioRpcError) as failed:  # and none in clear text
            await api.submit()
        assert failed.value.code() is grpc.StatusCode.UNAVAILABLE
        assert not api.world.store.payments


@pytest.mark.parametrize("claimed", [(), ("",), ("alfa",), ("ALFA", "BRAVO"), ("ALFA!",), ("A" * 17,)], ids=str)
async def test_on_a_demo_server_one_good_name_is_needed(claimed: tuple[str, ...]) -> None:
    async with serving() as api:
        stubs = api.caller()
        stubs.metadata = tuple(("x-bayswitch-participant", name) for name in claimed)
        refused = await refusal(stubs.call(stubs.payments.SubmitPayment, submit_request()))
        assert (refused.code, refused.reason) == ("UNAUTHENTICATED", "CALLER_UNKNOWN")


STARTS = """
# host          tls                                demo   outcome
  127.0.0.1     -                                  yes    starts
  ::1           -                                  yes    starts
  localhost     -                                  yes    starts
  127.0.0.1     tls_cert,tls_key,tls_client_ca     no     starts
  0.0.0.0       tls_cert,tls_key,tls_client_ca     no     starts
  0.0.0.0       -                                  yes    demo_identity
  ::            -                                  yes    demo_identity
  192.0.2.1     -                                  yes    demo_identity
  no.invalid    -                                  yes    demo_identity
  127.0.0.1     -                                  no     tls_cert
  0.0.0.0       -                                  no     tls_cert
  127.0.0.1     tls_cert,tls_key                   no     tls_client_ca
  127.0.0.1     tls_cert,tls_client_ca             no     tls_key
  127.0.0.1     tls_key,tls_client_ca              no     tls_cert
  127.0.0.1     tls_cert                           yes    demo_identity
  127.0.0.1     tls_cert,tls_key,tls_client_ca     yes    demo_identity
"""


@pytest.mark.parametrize("row", STARTS.strip().splitlines()[1:], ids=lambda row: " ".join(row.split()))
async def test_a_server_that_could_not_name_its_callers_does_not_start(tls: dict[str, Any], row: str) -> None:
    host, files, demo, outcome = row.split()
    given = {name: path for name, path in tls.items() if name in files.split(",")}
    options = ServerOptions(host, 0, demo_identity=demo == "yes", **given)
    if outcome == "starts":
        server = Server(parts_of(World()), options)
        assert await server.start() > 0
        await server.stop(0)
    else:
        with pytest.raises(ConfigError, match=f"^{outcome}: "):
            Server(parts_of(World()), options)


@pytest.mark.parametrize("broken", ["tls_cert", "tls_key", "tls_client_ca"])
@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN NONSENSE-----"])
def test_tls_files_that_cannot_be_used(tls: dict[str, Any], broken: str, content: bytes | None) -> None:
    tls[broken].unlink()
    if content is not None:
        tls[broken].write_bytes(content)
    with pytest.raises(ConfigError, match=f"^{broken}: "):
        Server(parts_of(World()), ServerOptions("127.0.0.1", 0, **tls))


async def test_a_port_in_use_is_named() -> None:
    async with serving() as api:
        second = Server(parts_of(World()), ServerOptions("127.0.0.1", api.server.port, demo_identity=True))
        with pytest.raises(ConfigError, match=r"^listen_port: "):
            await second.start()
        await second.stop(0)
