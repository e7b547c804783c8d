"""A proxy before AWS that holds answers back, to kill a process between a call and its answer."""

from __future__ import annotations

import contextlib
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Held:
    """Calls that AWS gets and whose answers stay in the proxy at `endpoint`.

    `reached` is set once AWS has done such a call: `held.reached.wait(30)`. Setting `release` lets
    go of all answers, those to come as well. A client that is left to wait tries again, after 60
    seconds if it is boto3, and so calls twice.
    """

    endpoint: str
    reached: Event = field(default_factory=Event)
    release: Event = field(default_factory=Event)


@contextmanager
def holding_back(endpoint: str, what: str) -> Iterator[Held]:
    """Pass everything on to the AWS at `endpoint`, and hold back the answers of some calls.

    They are those whose body contains `what`, such as `Action=CreateAccessKey`. What is still held
    when the block ends is never answered.
    """
    aws = urlsplit(endpoint).netloc
    over = Event()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            connection = HTTPConnection(aws)
            with contextlib.closing(connection):
                # Host too stays as it is: it is signed.
                connection.putrequest(
                    self.command, self.path, skip_host=True, skip_accept_encoding=True
                )
                for name, value in self.headers.items():
                    connection.putheader(name, value)
                connection.endheaders(body)
                answer = connection.getresponse()
                content = answer.read()
            if what.encode() in body:
                held.reached.set()
                while not held.release.wait(0.05):
                    if over.is_set():
                        return
            with contextlib.suppress(OSError):  # who asked is gone
                self.send_response_only(answer.status)
                for name, value in answer.getheaders():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

        do_GET = do_POST  # noqa: N815 - the name that the base class looks for

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        held = Held(f"http://127.0.0.1:{server.server_port}")
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield held
        finally:
            over.set()
            server.shutdown()
            thread.join()
