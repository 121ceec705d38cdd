"""
A terminal in sixty lines: `python client.py SERVER SIMULATOR CODE` receives one patient.

Needs httpx and cryptography. Where it asks SIMULATOR, a real terminal calls the face SDK.
"""

import base64
import hashlib
import json
import secrets
import sys
import time
import uuid
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

SERVER, SIMULATOR, CODE = sys.argv[1:4]
KEY = Ed25519PrivateKey.generate()  # a real terminal makes it once and keeps it, mode 0600
SPKI = KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
PEM = KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
KEY_ID = base64.urlsafe_b64encode(hashlib.sha256(SPKI).digest()).rstrip(b"=").decode()


def sign(method: str, url: httpx.URL, body: bytes) -> dict[str, str]:
    digest = f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"
    params = (
        f'("@method" "@path" "@query" "content-digest");created={int(time.time())};'
        f'keyid="{KEY_ID}";alg="ed25519";nonce="{secrets.token_hex(16)}";tag="face-terminal-v1"'
    )
    base = (
        f'"@method": {method}\n"@path": {url.path}\n"@query": ?{url.query.decode()}\n'
        f'"content-digest": {digest}\n"@signature-params": {params}'
    )
    signature = f"sig1=:{base64.b64encode(KEY.sign(base.encode())).decode()}:"
    return {"Content-Digest": digest, "Signature-Input": f"sig1={params}", "Signature": signature}


def call(method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    url = httpx.URL(f"{SERVER}/api/v1/{path}")
    content = b"" if body is None else json.dumps(body).encode()
    same = {"Content-Type": "application/json", "Idempotency-Key": str(uuid.uuid4())}
    for _attempt in range(5):  # the same request under a new signature
        headers = {**same, **sign(method, url, content)}
        answer = httpx.request(method, url, content=content, headers=headers, timeout=30)
        if answer.status_code not in {429, 503}:
            break
        time.sleep(float(answer.headers["Retry-After"]))
    told: dict[str, Any] = answer.json()
    return told if answer.is_success else sys.exit(f"{told['code']}: {told['detail']}")


def sdk(command: str, **given: Any) -> dict[str, Any]:
    answer: dict[str, Any] = httpx.post(f"{SIMULATOR}/_sim/{command}", json=given).json()
    return answer


version = {"model": "demo", "sdk_version": "1.26", "agent_version": "1"}
call("POST", "terminals/activation/", {"code": CODE, "public_key": PEM, **version})
params = call("POST", "authinfo/", {"rawdata": base64.b64encode(secrets.token_bytes(600)).decode()})
notice = call("GET", "notice/")  # shown to the person, who ticks each purpose
yes = {"granted": True, "purposes": [purpose["code"] for purpose in notice["purposes"]]}
session = call("POST", "face-sessions/", {"notice_version": notice["version"], **yes})
path = f"face-sessions/{session['id']}/"
seen = sdk("scan", person="stranger-1", **params)
given = {name: seen[name] for name in ("face_sid", "openid", "sub_openid") if seen.get(name)}
session = call("POST", f"{path}sighting/", given)
screen = {"authinfo": params["authinfo"], "quit_face_auth": session["quit_face_auth"]}
said = sdk("authorize", face_sid=seen["face_sid"], **screen)
if session["quit_face_auth"] == "0":
    session = call("POST", f"{path}authorization/", {"return_code": said["return_code"]})
while session["state"] == "authorized":
    session = call("GET", f"{path}?wait=10")
print(json.dumps(session, ensure_ascii=False))
