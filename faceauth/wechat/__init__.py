"""WeChat Pay's face API: ask for an authinfo, ask who looked at the camera. Knows no Django."""

from faceauth.wechat.authinfo import Authinfo
from faceauth.wechat.client import (
    AsyncAuthinfoClient,
    AsyncIdentityClient,
    AuthinfoClient,
    IdentityClient,
)
from faceauth.wechat.errors import (
    Misconfigured,
    Rejected,
    Unavailable,
    Undecryptable,
    Untrusted,
    WeChatError,
)
from faceauth.wechat.identity import Answer, Credential
from faceauth.wechat.keys import Decryptor
from faceauth.wechat.parties import Device, Party
from faceauth.wechat.repeating import Attempt
from faceauth.wechat.signing import LocalSigner, RemoteSigner
from faceauth.wechat.v3 import FACE_SID, Identity, Membership
from faceauth.wechat.verifying import Verifier

__all__ = [
    "FACE_SID",
    "Answer",
    "AsyncAuthinfoClient",
    "AsyncIdentityClient",
    "Attempt",
    "Authinfo",
    "AuthinfoClient",
    "Credential",
    "Decryptor",
    "Device",
    "Identity",
    "IdentityClient",
    "LocalSigner",
    "Membership",
    "Misconfigured",
    "Party",
    "Rejected",
    "RemoteSigner",
    "Unavailable",
    "Undecryptable",
    "Untrusted",
    "Verifier",
    "WeChatError",
]
