"""WeChat Pay's face API: ask for an authinfo, ask who looked at the camera. Knows no Django."""

from faceauth.wechat.client import Answer, Authinfo, AuthinfoClient, Device, IdentityClient, Party
from faceauth.wechat.errors import Rejected, Unavailable, Undecryptable, Untrusted, WeChatError
from faceauth.wechat.keys import Decryptor, Signer, WeChatKeys
from faceauth.wechat.v3 import FACE_SID, Identity

__all__ = [
    "FACE_SID",
    "Answer",
    "Authinfo",
    "AuthinfoClient",
    "Decryptor",
    "Device",
    "Identity",
    "IdentityClient",
    "Party",
    "Rejected",
    "Signer",
    "Unavailable",
    "Undecryptable",
    "Untrusted",
    "WeChatError",
    "WeChatKeys",
]
