"""
Verify a copy of the trail: python3 verify.py [--key PUBLIC-KEY]... [zip or directory]

Needs Python 3.8 or later and nothing else; with --key also the program openssl (3.0 or later).
Exit code 0: intact, and signed by every key given. 1: not what it says. 2: no key of the log's was
given, or there is no openssl: the lines belong to the checkpoint, but nobody knows whose that is.
"""
# ruff: noqa: S603, T201

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import typing
import zipfile

NOTE = re.compile(rb"(([^\n]+)\n(0|[1-9]\d*)\n([A-Za-z0-9+/=]+)\n)\n((?:\xe2\x80\x94 [^\n]+\n)+)")
SPKI = bytes.fromhex("302a300506032b6570032100")  # before an Ed25519 public key (RFC 8410)
BLOCK = 1 << 20
LOG, WITNESS = 1, 4  # kinds of keys (https://c2sp.org/signed-note)
OPENSSL = "openssl pkeyutl -verify -pubin -keyform DER -inkey key -rawin -in body -sigfile signed"
QUIET: dict[str, typing.Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}

Opener = typing.Callable[[str], typing.IO[bytes]]


class Wrong(Exception):
    """The copy is not what it says."""


class Unsettled(Exception):
    """Nothing is wrong, and not everything is proven."""


class Lines:
    """The lines of the copy, and the root they make with the subtrees around them."""

    def __init__(self, lines: typing.Iterator[bytes]) -> None:
        self.lines = lines
        self.stack: list[tuple[int, bytes]] = []  # full subtrees: how wide, and their hash
        self.runs: list[tuple[int, int]] = []  # the places of the lines
        self.redacted = 0

    def root(self, proof: typing.Iterator[bytes], size: int) -> bytes:
        """Return the root (RFC 9162 2.1.1): what the proof leaves out must be among the lines."""
        place = 0
        for entry in proof:
            start, end, digest = json.loads(entry)
            width = end - start
            if start < place or end > size or width < 1 or width & (width - 1) or start % width:
                raise Wrong("proof.jsonl 不是一个证明")
            self.take(place, start)
            self.add(width, base64.b64decode(digest, validate=True))
            place = end
        self.take(place, size)
        if next(self.lines, None) is not None:
            raise Wrong("events.jsonl 里多出了行")
        root = self.stack.pop()[1]
        while self.stack:
            root = hashlib.sha256(b"\x01" + self.stack.pop()[1] + root).digest()
        return root

    def take(self, start: int, end: int) -> None:
        if start < end:
            self.runs.append((start, end))
        for _ in range(start, end):
            line = next(self.lines, b"")
            if not line.endswith(b"\n"):
                raise Wrong("events.jsonl 里少了行")
            if line.startswith(b'{"redacted":"'):  # the line is gone, the hash it had is here
                self.redacted += 1
                self.add(1, bytes.fromhex(json.loads(line)["redacted"]))
            else:
                self.add(1, hashlib.sha256(b"\0" + line[:-1]).digest())

    def add(self, width: int, digest: bytes) -> None:
        while self.stack and self.stack[-1][0] == width:
            digest = hashlib.sha256(b"\x01" + self.stack.pop()[1] + digest).digest()
            width *= 2
        self.stack.append((width, digest))


def verify(path: pathlib.Path, keys: list[str], said: list[str]) -> None:
    """Verify the copy, and say of what."""
    open_ = opener(path)
    with open_("manifest.json") as file:
        manifest = json.load(file)
    check_files(open_, manifest["files"])
    with open_("checkpoint.txt") as file:
        note = NOTE.fullmatch(file.read())
    if not note:
        raise Wrong("checkpoint.txt 不是检查点")
    body, origin, size = note[1], note[2].decode(), int(note[3])
    with open_("events.jsonl") as events, open_("proof.jsonl") as proof:
        lines = Lines(iter(events))
        if lines.root(iter(proof), size) != base64.b64decode(note[4], validate=True):
            raise Wrong("各行与证明得不出检查点的根：有行被改动、删除或调换，或检查点不是这一份的")
    count = sum(end - start for start, end in lines.runs)
    first, last = lines.runs[0][0], lines.runs[-1][1] - 1
    if (manifest["count"], manifest["first"], manifest["last"]) != (count, first, last):
        raise Wrong("清单里的条数或序号与内容不符")
    if manifest["kind"] != "range":
        said.append(f"真实：{count} 条均在留痕之中。按条件筛选，不能证明没有遗漏")
    elif len(lines.runs) == 1:
        said.append(f"完整：序号 {first} 至 {last}，共 {count} 条，一条不少")
    else:
        raise Wrong("清单说是连续区间，中间却有缺失")
    if lines.redacted:
        said.append(f"注意：其中 {lines.redacted} 条已被遮盖，只余散列，原文无从核对")
    signers = [check_signature(body, note[5].decode(), key) for key in keys]
    said += [f"签名正确：{name}，检查点共 {size} 条" for name, _ in signers]
    if (origin, LOG) not in signers:
        raise Unsettled("没有给出留痕的公钥（--key），只能说各行与所附检查点一致")


def opener(path: pathlib.Path) -> Opener:
    """Return what opens a file of the copy by its name."""
    if path.is_dir():
        return lambda name: (path / name).open("rb")
    zipped = zipfile.ZipFile(path)
    if len(set(zipped.namelist())) != len(zipped.namelist()):
        raise Wrong("压缩包里有重名文件")
    return zipped.open


def check_files(open_: Opener, listed: dict[str, typing.Any]) -> None:
    kinds = [kind for kind in ("sha256", "sm3") if kind in hashlib.algorithms_available]
    for name, facts in listed.items():
        digests = {kind: hashlib.new(kind) for kind in kinds}
        with open_(name) as file:
            for block in iter(lambda: file.read(BLOCK), b""):
                for digest in digests.values():
                    digest.update(block)
        for kind, digest in digests.items():
            if digest.hexdigest() != facts[kind]:
                raise Wrong(f"{name} 的 {kind.upper()} 与清单不符")


def check_signature(body: bytes, lines: str, vkey: str) -> tuple[str, int]:
    """Verify a signature as in https://c2sp.org/signed-note; return whose it is, of which kind."""
    name, ident, encoded = vkey.strip().split("+", 2)
    key, signed = base64.b64decode(encoded, validate=True), b""
    for line in lines.splitlines():
        _, signer, written = line.split(" ")
        blob = base64.b64decode(written, validate=True)
        if (signer, blob[:4].hex()) == (name, ident):
            signed = blob[4:]
    if key[0] == WITNESS:  # a witness's, with the time (https://c2sp.org/tlog-cosignature)
        body = b"cosignature/v1\ntime %d\n%s" % (int.from_bytes(signed[:8], "big"), body)
        signed = signed[8:]
    with tempfile.TemporaryDirectory() as directory:
        for file, content in (("key", SPKI + key[1:]), ("body", body), ("signed", signed)):
            (pathlib.Path(directory) / file).write_bytes(content)
        try:
            code = subprocess.run(OPENSSL.split(), check=False, cwd=directory, **QUIET).returncode
        except FileNotFoundError:
            raise Unsettled("这台计算机上没有 openssl，签名没有核验") from None
    if not signed or code:
        raise Wrong(f"检查点上没有 {name} 用这个公钥所作的有效签名")
    return name, key[0]


def main() -> int:
    asked = argparse.ArgumentParser(description="核验留痕副本")
    asked.add_argument("--key", action="append", default=[], help="公钥：名称+编号+base64，可多个")
    asked.add_argument("path", nargs="?", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    options = asked.parse_args()
    said: list[str] = []
    try:
        verify(options.path, options.key, said)
    except Unsettled as exc:
        print("\n".join([*said, f"未完全核验：{exc}"]))
        return 2
    except Wrong as exc:
        print(f"不符：{exc}")
        return 1
    except (OSError, LookupError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as exc:
        print(f"不符：文件缺失或损坏（{type(exc).__name__}）")
        return 1
    print("\n".join(said))
    return 0


if __name__ == "__main__":
    sys.exit(main())
