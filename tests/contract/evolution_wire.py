"""Servers on real sockets that say what a test wants, and a client of Evolution to ask them."""

import asyncio
import json
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from amarre.gateways import GatewayAccess
from amarre.gateways.base import Webhook
from amarre.gateways.evolution import Evolution

KEY = "secret-key-0001"
SHORT = timedelta(milliseconds=150)
HOOK = Webhook(
    url="https://amarre.example/hook", headers={"X-Secret": "s3cr3t"}, events=("QRCODE_UPDATED", "CALL")
)


class Server:
    """Answers every request with `answer` and keeps what was asked."""

    def __init__(self) -> None:
        self.asked = []
        self.base_url = ""
        self.under_way = self.most_under_way = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.came = asyncio.Semaphore(0)
        self.answer = lambda _: web.json_response({})

    def says(self, body, status=200, **headers):
        text = body if isinstance(body, str) else json.dumps(body)
        self.answer = lambda _: web.Response(
            text=text, status=status, headers=headers, content_type="application/json"
        )

    async def serve(self, request):
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            body = await request.text()
            self.asked.append((request.method, request.raw_path, request.headers, body))
            self.came.release()
            await self.gate.wait()
            answer = self.answer(request)
            return await answer if asyncio.iscoroutine(answer) else answer
        finally:
            self.under_way -= 1


@asynccontextmanager
async def open_server() -> AsyncGenerator[Server]:
    server = Server()
    app = web.Application(client_max_size=2**24)
    app.router.add_route("*", "/{tail:.*}", server.serve)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    server.base_url = "http://{}:{}".format(*runner.addresses[0][:2])
    try:
        yield server
    finally:
        server.gate.set()
        await runner.cleanup()


def client_of(base_url, **facts):
    return Evolution(GatewayAccess(name="e", kind="evolution", base_url=base_url, key=KEY), **facts)


@asynccontextmanager
async def raw_server(reply, *, tls=None):
    served = []

    async def serve(reader, writer):
        served.append(asyncio.current_task())
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        writer.close()
        await writer.wait_closed()

    door = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    async with door:
        yield "http{}://{}:{}".format("s" if tls else "", *door.sockets[0].getsockname()[:2])
        await asyncio.gather(*served)


def self_signed(folder):
    """Make a certificate for 127.0.0.1 that is vouched for by itself alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    pem = folder / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]
