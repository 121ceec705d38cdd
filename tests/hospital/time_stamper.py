"""A time-stamp authority: OpenSSL's, behind HTTP, in a thread."""

import contextlib
import re
import subprocess
import threading
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CONFIGURATION = """
[tsa]
serial = {directory}/serial
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512
accuracy = secs:1
ess_cert_id_alg = sha256
"""


class TimeStamper:
    """
    :param manner: proper; or what the answer is instead: another_nonce, another_text, again (the
        first answer each time), refused, garbage, huge, error, slow, drips (a header without
        end), signed (`by` another certificate and key, of the time `at`: OpenSSL's own would not)
    """

    def __init__(self, directory, certificate, key, *, manner="proper", by=None, at=None):
        directory.mkdir(parents=True, exist_ok=True)
        self.directory, self.certificate, self.key = directory, certificate, key
        self.manner, self.asked, self.first = manner, [], None
        self.by, self.at = by, at
        self.released = threading.Event()
        (directory / "tsa.cnf").write_text(CONFIGURATION.format(directory=directory))
        (directory / "serial").write_text("01\n")

    def __enter__(self):
        stamper = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                query = self.rfile.read(int(self.headers["Content-Length"]))
                stamper.asked.append((self.headers["Content-Type"], query))
                if stamper.manner == "drips":
                    self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
                    with contextlib.suppress(OSError):
                        while not stamper.released.wait(0.05):
                            self.wfile.write(b"a")
                    return
                answer = stamper.answer(query)
                self.send_response(500 if stamper.manner == "error" else 200)
                self.send_header("Content-Type", "application/timestamp-reply")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/tsa"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()
        return self

    def __exit__(self, *_exc):
        self.released.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def answer(self, query):
        match self.manner:
            case "another_nonce":
                query = self._query(_digest(query).hex())
            case "another_text":
                query = query.replace(_digest(query), sha256(b"something else").digest())
            case "refused":
                return bytes.fromhex("30053003020102")  # status 2, and nothing else
            case "garbage":
                return b"<html>welcome to the hospital's proxy</html>"
            case "huge":
                return b"\0" * 1_000_000
            case "slow":
                self.released.wait(30)
        answer = self._reply(query)
        if self.manner == "signed":
            return self._signed()
        self.first = self.first or answer
        return self.first if self.manner == "again" else answer

    def _query(self, digest):
        out = self._at("other.tsq")
        self._openssl("ts", "-query", "-digest", digest, "-sha256", "-cert", "-out", out)
        return (self.directory / "other.tsq").read_bytes()

    def _reply(self, query):
        (self.directory / "query.tsq").write_bytes(query)
        self._openssl(
            *("ts", "-reply", "-queryfile", self._at("query.tsq"), "-out", self._at("reply.tsr")),
            *("-config", self._at("tsa.cnf"), "-section", "tsa"),
            *("-signer", str(self.certificate), "-inkey", str(self.key)),
        )
        return (self.directory / "reply.tsr").read_bytes()

    def _signed(self):
        """The last reply's statement, signed by `by`."""
        token, said, signed = map(self._at, ("token", "said", "signed"))
        self._openssl("ts", "-reply", "-in", self._at("reply.tsr"), "-token_out", "-out", token)
        self._openssl(
            "cms", "-verify", "-noverify", "-inform", "DER", "-in", token, "-out", said, "-binary"
        )
        if self.at:
            path = self.directory / "said"
            time = b"\x18\x0f" + self.at.strftime("%Y%m%d%H%M%SZ").encode()
            path.write_bytes(re.sub(rb"\x18\x0f\d{14}Z", time, path.read_bytes()))
        certificate, key = map(str, self.by)
        self._openssl(
            *("cms", "-sign", "-cades", "-md", "sha256", "-binary", "-nodetach", "-nosmimecap"),
            *("-econtent_type", "1.2.840.113549.1.9.16.1.4", "-in", said, "-outform", "DER"),
            *("-signer", certificate, "-inkey", key, "-out", signed),
        )
        body = bytes.fromhex("3003020100") + (self.directory / "signed").read_bytes()
        return b"\x30\x82" + len(body).to_bytes(2, "big") + body

    def _at(self, name):
        return str(self.directory / name)

    def _openssl(self, *words):
        ended = subprocess.run(["openssl", *words], capture_output=True, text=True)
        assert ended.returncode == 0, ended.stderr
        return ended.stdout


def _digest(query):
    """The only octets a query has 32 of."""
    return query.split(b"\x04\x20", 1)[1][:32]
