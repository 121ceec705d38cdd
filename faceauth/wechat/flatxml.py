"""
The XML of WeChat's v2 API: one `<xml>` root, one level of fields, no repetition.

Read with expat itself: the convenient libraries strip blanks from values, and the signature
is over the values as sent.
"""

from collections.abc import Mapping
from xml.parsers import expat

from faceauth.wechat.errors import Untrusted

LIMIT = 65_536  # bytes; a real answer has at most some 5 000


def write(fields: Mapping[str, str]) -> bytes:
    """Return `fields` as UTF-8 XML, every value in CDATA, so none needs escaping."""
    lines = "".join(f"<{name}>{_cdata(value)}</{name}>" for name, value in fields.items())
    return f"<xml>{lines}</xml>".encode()


def read(body: bytes) -> dict[str, str]:
    """
    Return the fields of `body`, values exactly as written.

    :raises Untrusted: too_large, not_xml, entities, malformed
    """
    if len(body) > LIMIT:
        raise Untrusted("too_large")
    reading = _Reading()
    try:
        body.decode()
    except UnicodeDecodeError:
        readable = False
    else:
        readable = reading.take(body)
    # Raised out here: the decoding error would carry the body along as its context.
    if not readable:
        raise Untrusted("not_xml")
    return reading.fields


class _Reading:
    """One pass of expat over one document."""

    def __init__(self) -> None:
        self.fields: dict[str, str] = {}
        self._path: list[str] = []
        self._parser = expat.ParserCreate("UTF-8")  # whatever the document declares
        self._parser.buffer_text = True
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._text

    def take(self, body: bytes) -> bool:
        try:
            self._parser.Parse(body, True)  # noqa: FBT003 - "this is all of it"
        except expat.ExpatError:
            return False
        return True

    def _doctype(self, name: str, *_: object) -> None:
        # An error page has a doctype too; anything else with one is about to define entities.
        raise Untrusted("not_xml" if name.lower() == "html" else "entities")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._path and name != "xml":
            raise Untrusted("not_xml")
        if attributes or len(self._path) > 1 or name in self.fields:
            raise Untrusted("malformed")
        if self._path:
            self.fields[name] = ""
        self._path.append(name)

    def _end(self, _name: str) -> None:
        self._path.pop()

    def _text(self, text: str) -> None:
        if len(self._path) > 1:
            self.fields[self._path[-1]] += text
        elif text.strip():
            raise Untrusted("malformed")


def _cdata(value: str) -> str:
    return f"<![CDATA[{value.replace(']]>', ']]]]><![CDATA[>')}]]>"
