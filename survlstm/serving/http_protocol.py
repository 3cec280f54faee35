"""Refuse requests whose end is ambiguous, which a proxy could split differently (request smuggling)."""

from __future__ import annotations

import re

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from survlstm.serving.errors import ErrorResponse
from survlstm.serving.middleware import HEADERS

MESSAGE = (
    "a request must be HTTP/1.1 with one Host, one length (Content-Length or Transfer-Encoding: chunked) and header "
    "lines that end with CR LF and are not folded; found another request. The connection is closed"
)
# The end of a head, by h11's own rule.
_END_OF_HEAD = re.compile(rb"\n\r?\n")
# A folded line or a line feed without CR: servers differ in whether these are one header or two.
_AMBIGUOUS_LINE = re.compile(rb"\n[ \t]|(?<!\r)\n")


class StrictConnection(h11.Connection):
    """h11's connection, which also refuses two lengths, folded lines and lone line feeds; h11 itself accepts them."""

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """Return the next event, as h11 does.

        Raises:
            RemoteProtocolError: Another program may read the head of the request differently.
        """
        if self.their_state is h11.IDLE:
            waiting, _ = self.trailing_data
            end = _END_OF_HEAD.search(waiting)
            if end and _AMBIGUOUS_LINE.search(waiting, 0, end.end()):
                raise h11.RemoteProtocolError("folded lines or lone line feeds")
        event = super().next_event()
        if isinstance(event, h11.Request):
            names = {name for name, _ in event.headers}
            if {b"content-length", b"transfer-encoding"} <= names:
                raise h11.RemoteProtocolError("two lengths")
        return event


class StrictProtocol(H11Protocol):
    """uvicorn's protocol with ``StrictConnection``; malformed requests get the same JSON body as other errors."""

    def __init__(self, *arguments: object, **settings: object) -> None:
        super().__init__(*arguments, **settings)  # type: ignore[arg-type]
        self.conn = StrictConnection(h11.SERVER)

    def send_400_response(self, msg: str) -> None:
        """Send the error response and close the connection; nothing after the refused request is read.

        Args:
            msg: What h11 or uvicorn says about the request; it may quote the request and is not sent.
        """
        # Not where a response was sent already: a body may turn out to be malformed after that.
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            body = ErrorResponse(error=MESSAGE).model_dump_json().encode()
            headers = {
                **HEADERS,
                "content-type": "application/json",
                "content-length": str(len(body)),
                "connection": "close",
            }
            for event in (
                h11.Response(status_code=400, headers=list(headers.items()), reason=b"Bad Request"),
                h11.Data(data=body),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
