"""An authinfo as long as a real one."""

import base64

AUTHINFO = base64.b64encode(bytes(range(256)) * 2).decode()
