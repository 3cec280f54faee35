"""Refuse requests whose end is ambiguous: a proxy could see another request in them than this server does."""

from __future__ import annotations

import re

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from survlstm.serving.errors import ErrorResponse
from survlstm.serving.middleware import HEADERS

SENTENCE = (
    "a request must be HTTP/1.1 with one Host, one length (Content-Length or Transfer-Encoding: chunked) and CR LF "
    "behind each line of its head, none of which may be folded; found another. The connection is closed"
)
# As h11 finds the end of a head.
_END_OF_HEAD = re.compile(rb"\n\r?\n")
# A continued line, or a line feed alone: some servers read one header where others read two.
_AMBIGUOUS_LINE = re.compile(rb"\n[ \t]|(?<!\r)\n")


class StrictConnection(h11.Connection):
    """h11, which by itself takes a request with two lengths, folded lines and lone line feeds."""

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        """As h11 does; RemoteProtocolError too for a head that another program may read otherwise."""
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
    """uvicorn's HTTP over ``StrictConnection``; what is no HTTP gets a sentence in the shape of every refusal."""

    def __init__(self, *arguments: object, **settings: object) -> None:
        super().__init__(*arguments, **settings)  # type: ignore[arg-type]
        self.conn = StrictConnection(h11.SERVER)

    def send_400_response(self, msg: str) -> None:
        """Refuse and close; nothing behind the refused request is read."""
        # The body of a request that has been answered already may turn out to be broken.
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            body = ErrorResponse(error=SENTENCE).model_dump_json().encode()
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
