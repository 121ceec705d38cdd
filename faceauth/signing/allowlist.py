"""
The one thing that is signed: a hospital's own question about one face, asked now.

The message is the five lines of a v3 request,
https://pay.weixin.qq.com/docs/merchant/development/interface-rules/signature-generation.html,
and whatever is not exactly GET /v3/facemch/users/{face_sid} for a sub-merchant of the asking
hospital is refused: the same key could download, refund and transfer.
"""

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlencode

from faceauth.signing.configuration import Hospital
from faceauth.signing.problems import NotAllowed
from faceauth.wechat import FACE_SID

SKEW = 300  # seconds; WeChat refuses a timestamp further from its own clock
REAL_NAME, UNION_ID = "ASK_REAL_NAME", "ASK_UNIONID"

_PREFIX = "/v3/facemch/users/"
_KEYS = {"info_type", "appid", "sub_mchid", "sub_appid", "sub_serial_no"}
_VALUE = re.compile(r"[0-9A-Za-z_-]{1,64}", re.ASCII)
_MCH_ID = re.compile(r"[0-9]{1,32}", re.ASCII)
_TIMESTAMP = re.compile(r"[0-9]{10}", re.ASCII)
_NONCE = re.compile(r"[0-9A-Za-z]{1,32}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Question:
    """What a message asks, without whom it asks about: the face_sid is checked and let go."""

    info_type: str
    appid: str
    sub_mch_id: str
    timestamp: int


def read(message: str) -> Question:
    """
    Return what `message` asks, if its form is the one that is signed.

    :raises NotAllowed: shape, method, path, query, info_type, sub_mchid, timestamp, body
    """
    try:
        method, target, timestamp, nonce, rest = message.split("\n", 4)
    except ValueError:
        raise NotAllowed("shape") from None
    path, _, query = target.partition("?")
    if not _NONCE.fullmatch(nonce) or not rest.endswith("\n"):
        raise NotAllowed("shape")
    if method != "GET":
        raise NotAllowed("method")
    if not path.startswith(_PREFIX) or not FACE_SID.fullmatch(path.removeprefix(_PREFIX)):
        raise NotAllowed("path")
    if not _TIMESTAMP.fullmatch(timestamp):
        raise NotAllowed("timestamp")
    if rest != "\n":
        raise NotAllowed("body")
    asked = _parameters(query)
    return Question(
        asked["info_type"], asked["appid"], asked["sub_mchid"], timestamp=int(timestamp)
    )


def judge(question: Question, *, hospital: Hospital, appid: str, now: float) -> None:
    """
    Return if `hospital` may ask `question` at `now` (Unix seconds).

    :raises NotAllowed: query, sub_mchid, timestamp
    """
    if question.appid != appid:
        raise NotAllowed("query")
    if question.sub_mch_id not in hospital.sub_mch_ids:
        raise NotAllowed("sub_mchid")
    if abs(now - question.timestamp) > SKEW:
        raise NotAllowed("timestamp")


def _parameters(query: str) -> dict[str, str]:
    if not query.isascii():  # half a surrogate pair cannot even be compared
        raise NotAllowed("query")
    try:
        pairs = parse_qsl(query, keep_blank_values=True, max_num_fields=len(_KEYS))
    except ValueError:
        raise NotAllowed("query") from None
    asked = dict(pairs)
    # One spelling only: what WeChat would read in another is not for us to guess.
    if urlencode(pairs, quote_via=quote) != query or len(asked) != len(pairs):
        raise NotAllowed("query")
    if asked.get("info_type") not in {REAL_NAME, UNION_ID}:
        raise NotAllowed("info_type")
    if not _MCH_ID.fullmatch(asked.get("sub_mchid", "")):
        raise NotAllowed("sub_mchid")
    if not asked.keys() <= _KEYS or not all(map(_VALUE.fullmatch, asked.values())):
        raise NotAllowed("query")
    # Without it WeChat would not know for whose certificate to close the name.
    required = {"appid", "sub_serial_no"} if asked["info_type"] == REAL_NAME else {"appid"}
    if not required <= asked.keys():
        raise NotAllowed("query")
    return asked
