"""A stand-in for AWS: answers that a test lays down in advance, over real HTTP to real clients."""

from __future__ import annotations

import threading
import urllib.parse
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

ACCOUNT = "123456789012"


class Asked(NamedTuple):
    action: str
    arguments: dict[str, str]
    key_id: str
    token: str | None
    connection: int
    scope: str


def arn(user: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:user/{user}"


def identity(user: str = "production") -> str:
    result = f"<Arn>{arn(user)}</Arn><UserId>AIDA</UserId><Account>{ACCOUNT}</Account>"
    return f"<GetCallerIdentityResult>{result}</GetCallerIdentityResult>"


def error(code: str, message: str = "no") -> tuple[str, str]:
    return code, message


class Aws:
    """Answers the calls of an action in order, the last one for ever."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self._answers: dict[str, list[str | tuple[str, str]]] = defaultdict(list)
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = dict(urllib.parse.parse_qsl(body))
                _, _, credential = self.headers["Authorization"].partition("Credential=")
                key_id, _, rest = credential.partition("/")
                asked = Asked(
                    form.pop("Action"),
                    form,
                    key_id,
                    self.headers["X-Amz-Security-Token"],
                    self.client_address[1],
                    rest.partition(",")[0],
                )
                status, text = outer.answer(asked)
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def answers(self, action: str, *answers: str | tuple[str, str]) -> None:
        """Let ``action`` be answered so: by the inner XML of a result, or by `error`."""
        self._answers[action] = list(answers)

    def answer(self, asked: Asked) -> tuple[int, str]:
        with self._lock:
            self.asked.append(asked)
            left = self._answers[asked.action]
            found = left.pop(0) if len(left) > 1 else left[0] if left else error("NotLaidDown")
        if isinstance(found, str):
            name = f"{asked.action}Response"
            return 200, f"<{name}>{found}</{name}>"
        code, message = found
        inner = f"<Code>{code}</Code><Message>{message}</Message>"
        if asked.scope.endswith("/ec2/aws4_request"):
            return 400, f"<Response><Errors><Error>{inner}</Error></Errors></Response>"
        return 400, f"<ErrorResponse><Error>{inner}</Error></ErrorResponse>"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def running() -> Iterator[Aws]:
    aws = Aws()
    yield aws
    aws.close()
