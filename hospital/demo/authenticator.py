"""
The codes of an authenticator app, for who has none at hand: `… hospital.demo.authenticator SECRET`.

Who can read the secret on the page is who is binding it. RFC 4226, RFC 6238.
"""

import base64
import hashlib
import hmac
import struct
import sys
import time

STEP = 30  # seconds
DIGITS = 6


def code(secret: str, step: int) -> str:
    """Return the code of a step; `secret` is Base32, spaced or not."""
    key = base64.b32decode(secret.replace(" ", ""), casefold=True)
    digest = hmac.digest(key, struct.pack(">Q", step), hashlib.sha1)
    (value,) = struct.unpack_from(">I", digest, digest[-1] & 0xF)
    return f"{(value & 0x7FFFFFFF) % 10**DIGITS:0{DIGITS}}"


def main() -> None:
    secret = "".join(sys.argv[1:])
    if not secret:
        sys.exit("用法：python -m hospital.demo.authenticator 页面上显示的密钥")
    print(code(secret, int(time.time()) // STEP))


if __name__ == "__main__":
    main()
