"""
Verify a copy of the trail: python3 -I -S verify.py [--key PUBLIC-KEY]... [zip or directory]

Needs Python 3.8 or later and nothing else; with --key also the program openssl (3.0 or later).
Exit code 0: intact, and signed by every key given. 1: not what it says. 2: no key of the log's was
given, or there is no openssl: the lines belong to the checkpoint, but nobody knows whose that is.
"""
# ruff: noqa: S603, T201

import sys

if not sys.flags.isolated:  # what lies beside this file must not pass for a part of Python
    del sys.path[0]

import argparse
import base64
import hashlib
import json
import os
import pathlib
import re
import shutil
import stat
import subprocess
import tempfile
import typing
import zipfile

FORMAT = "trail-copy/1"
NEEDED = {
    *("README.txt", "checkpoint.txt", "events.jsonl"),
    *("manifest.json", "proof.jsonl", "verify.py"),
}
VIEWS = {"views/events.csv", "views/events.xlsx"}
COVERED = "位置连续：区间内每个序号都在；只有散列的各条是否由医院依规遮盖，这一份不能证明"
PROVES = {
    "range": "完整：区间内每一条都在，一条不少，次序与封存时相同",
    "filtered": "真实：每一条都在留痕之中；不能证明没有遗漏",
}
NO_EVIDENCE = "表格（views/）不是证据：证据是 events.jsonl"

NOTE = re.compile(
    rb"(([^\n]+)\n(0|[1-9]\d{0,17})\n([A-Za-z0-9+/=]+)\n)\n((?:\xe2\x80\x94 [^\n]+\n)+)"
)
PROOF = re.compile(rb'\[(0|[1-9]\d{0,17}), ([1-9]\d{0,17}), "([A-Za-z0-9+/=]{44})"\]\n')
REDACTED = re.compile(rb'\{"redacted":"([0-9a-f]{64})","v":1\}\n')
LOST = re.compile(rb'\{"missing":\d+,"v":1\}\n')
SPKI = bytes.fromhex("302a300506032b6570032100")  # before an Ed25519 public key (RFC 8410)
BLOCK = 1 << 20  # bytes; a line is much shorter
SMALL = 1 << 24  # bytes of a manifest at most
LOG, WITNESS = 1, 4  # kinds of keys (https://c2sp.org/signed-note)
OPENSSL = "pkeyutl -verify -pubin -keyform DER -inkey key -rawin -in body -sigfile signed"


class Wrong(Exception):
    """The copy is not what it says."""


class Unsettled(Exception):
    """Nothing is wrong, and not everything is proven."""


class Copy:
    """A zip or a directory that holds the files of a copy, and nothing else."""

    def __init__(self, path: pathlib.Path) -> None:
        self.path = path
        self.zipped = None if path.is_dir() else zipfile.ZipFile(path)
        self.names = set(self.in_zip(self.zipped) if self.zipped else self.in_directory())
        for name in sorted(self.names - NEEDED - VIEWS):
            raise Wrong(f"多出不属于副本的文件：{name!a}")
        for name in sorted(NEEDED - self.names):
            raise Wrong(f"缺少文件 {name}")

    def in_zip(self, zipped: zipfile.ZipFile) -> "typing.Iterator[str]":
        seen = set()
        for one in zipped.infolist():
            if one.orig_filename in seen:
                raise Wrong("压缩包里有重名文件")
            if stat.S_IFMT(one.external_attr >> 16) not in (0, stat.S_IFREG) or one.flag_bits & 1:
                raise Wrong(f"{one.orig_filename!a} 不是普通文件")
            seen.add(one.orig_filename)
            yield one.orig_filename

    def in_directory(self) -> "typing.Iterator[str]":
        for parent in (self.path, self.path / "views"):
            for one in os.scandir(parent) if parent.is_dir() else ():
                name = (pathlib.Path(one.path).relative_to(self.path)).as_posix()
                if name == "views" and one.is_dir(follow_symlinks=False):
                    continue
                if not one.is_file(follow_symlinks=False):
                    raise Wrong(f"{name!a} 不是普通文件")
                yield name

    def open(self, name: str) -> "typing.IO[bytes]":
        return self.zipped.open(name) if self.zipped else (self.path / name).open("rb")

    def read(self, name: str) -> bytes:
        with self.open(name) as file:
            content = file.read(SMALL + 1)
        if len(content) > SMALL:
            raise Wrong(f"{name} 过大")
        return content

    def lines(self, name: str) -> "typing.Iterator[bytes]":
        with self.open(name) as file:
            for line in iter(lambda: file.readline(BLOCK), b""):
                if not line.endswith(b"\n"):
                    raise Wrong(f"{name} 里有不完整或过长的行")
                yield line


class Lines:
    """The lines of the copy, and the root they make with the subtrees around them."""

    def __init__(self, lines: "typing.Iterator[bytes]") -> None:
        self.lines = lines
        self.stack: list[tuple[int, bytes]] = []  # full subtrees: how wide, and their hash
        self.runs: list[tuple[int, int]] = []  # the places of the lines
        self.redacted = self.lost = 0

    def root(self, proof: "typing.Iterator[bytes]", size: int) -> bytes:
        """Return the root (RFC 9162 2.1.1): what the proof leaves out must be among the lines."""
        place = 0
        for entry in proof:
            found = PROOF.fullmatch(entry)
            start, end = (int(found[1]), int(found[2])) if found else (0, 0)
            width = end - start
            if start < place or end > size or width < 1 or width & (width - 1) or start % width:
                raise Wrong("proof.jsonl 不是一个证明")
            self.take(place, start)
            self.add(width, base64.b64decode(found[3] if found else b"", validate=True))
            place = end
        self.take(place, size)
        if next(self.lines, None) is not None:
            raise Wrong("events.jsonl 里多出了行")
        if not self.runs:
            raise Wrong("里面没有一条留痕")
        root = self.stack.pop()[1]
        while self.stack:
            root = hashlib.sha256(b"\x01" + self.stack.pop()[1] + root).digest()
        return root

    def take(self, start: int, end: int) -> None:
        if start < end:
            self.runs.append((start, end))
        for _ in range(start, end):
            line = next(self.lines, b"")
            if not line:
                raise Wrong("events.jsonl 里少了行")
            covered = REDACTED.fullmatch(line)
            if covered:  # the line is gone, the hash it had is here
                self.redacted += 1
                self.add(1, bytes.fromhex(covered[1].decode()))
            else:
                self.lost += bool(LOST.fullmatch(line))
                self.add(1, hashlib.sha256(b"\0" + line[:-1]).digest())

    def add(self, width: int, digest: bytes) -> None:
        while self.stack and self.stack[-1][0] == width:
            digest = hashlib.sha256(b"\x01" + self.stack.pop()[1] + digest).digest()
            width *= 2
        self.stack.append((width, digest))


def verify(path: pathlib.Path, keys: "list[str]", said: "list[str]") -> None:
    """Verify the copy, and say of what."""
    copy = Copy(path)
    manifest = json.loads(copy.read("manifest.json"), object_pairs_hook=unrepeated)
    check_files(copy, manifest["files"])
    note = NOTE.fullmatch(copy.read("checkpoint.txt"))
    if not note:
        raise Wrong("checkpoint.txt 不是检查点")
    body, origin, size = note[1], note[2].decode(), int(note[3])
    lines = Lines(copy.lines("events.jsonl"))
    if lines.root(copy.lines("proof.jsonl"), size) != base64.b64decode(note[4], validate=True):
        raise Wrong("各行与证明算不出检查点里的根：有行被改动、删除或调换，或检查点不是这一份的")
    check_manifest(manifest, lines, origin, {"size": size, "root": note[4].decode()})
    said += claims(manifest["kind"], lines)
    signers = [check_signature(copy, body, note[5].decode(), key) for key in keys]
    said += [f"签名正确：{name}，检查点共 {size} 条" for name, _ in signers]
    if (origin, LOG) not in signers:
        raise Unsettled("没有给出留痕的公钥（--key），只能说各行与所附检查点一致")


def unrepeated(pairs: "list[tuple[str, typing.Any]]") -> "dict[str, typing.Any]":
    found = dict(pairs)
    if len(found) != len(pairs):
        raise Wrong("manifest.json 里有重复的名称")
    return found


def check_files(copy: Copy, listed: "dict[str, typing.Any]") -> None:
    if {*listed, "manifest.json"} != copy.names:
        raise Wrong("清单列出的文件与实有的不同")
    kinds = [kind for kind in ("sha256", "sm3") if kind in hashlib.algorithms_available]
    for name in sorted(listed):
        digests = {kind: hashlib.new(kind) for kind in kinds}
        with copy.open(name) as file:
            for block in iter(lambda: file.read(BLOCK), b""):
                for digest in digests.values():
                    digest.update(block)
        for kind, digest in digests.items():
            if digest.hexdigest() != listed[name][kind]:
                raise Wrong(f"{name} 的 {kind.upper()} 与清单不符")


def check_manifest(
    manifest: "dict[str, typing.Any]", lines: Lines, origin: str, checkpoint: "dict[str, object]"
) -> None:
    kind = manifest["kind"]
    if kind == "range" and len(lines.runs) > 1:
        raise Wrong("清单说是连续区间，中间却有缺失")
    stated = {
        "format": FORMAT,
        "origin": origin,
        "checkpoint": checkpoint,
        "proves": COVERED if kind == "range" and lines.redacted else PROVES[kind],
        "first": lines.runs[0][0],
        "last": lines.runs[-1][1] - 1,
        "count": sum(end - start for start, end in lines.runs),
        "redacted": lines.redacted,
        "lost": lines.lost,
    }
    for name, value in stated.items():
        if manifest[name] != value:
            raise Wrong(f"清单里的 {name} 与内容不符")


def claims(kind: str, lines: Lines) -> "list[str]":
    count = sum(end - start for start, end in lines.runs)
    first, last = lines.runs[0][0], lines.runs[-1][1] - 1
    covered = f"其中 {lines.redacted} 条只有散列；是否由医院依规遮盖，这一份不能证明"
    if kind != "range":
        said = [f"真实：{count} 条均在留痕之中。按条件筛选，不能证明没有遗漏"]
        said += ["注意：" + covered] if lines.redacted else []
    elif lines.redacted:
        said = [f"位置连续：序号 {first} 至 {last}，共 {count} 条，{covered}"]
    else:
        said = [f"完整：序号 {first} 至 {last}，共 {count} 条，一条不少"]
    if lines.lost:
        said.append(f"注意：其中 {lines.lost} 条在封存前已丢失，只留下丢失的记号")
    return [*said, NO_EVIDENCE]


def check_signature(copy: Copy, body: bytes, lines: str, vkey: str) -> "tuple[str, int]":
    """Verify a signature as in https://c2sp.org/signed-note; return whose it is, of which kind."""
    name, ident, encoded = vkey.strip().split("+", 2)
    key, signed = base64.b64decode(encoded, validate=True), b""
    for line in lines.split("\n")[:-1]:
        _, signer, written = line.split(" ")
        blob = base64.b64decode(written, validate=True)
        if (signer, blob[:4].hex()) == (name, ident):
            signed = blob[4:]
    if key[0] == WITNESS:  # a witness's, with the time (https://c2sp.org/tlog-cosignature)
        body = b"cosignature/v1\ntime %d\n%s" % (int.from_bytes(signed[:8], "big"), body)
        signed = signed[8:]
    command = [openssl(copy), *OPENSSL.split()]
    with tempfile.TemporaryDirectory() as directory:
        for file, content in (("key", SPKI + key[1:]), ("body", body), ("signed", signed)):
            (pathlib.Path(directory) / file).write_bytes(content)
        done = subprocess.run(
            command,
            check=False,
            cwd=directory,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    if not signed or done.returncode:
        raise Wrong(f"检查点上没有 {name} 用这个公钥所作的有效签名")
    return name, key[0]


def openssl(copy: Copy) -> str:
    """Return where the computer has it; one that came with the copy is none."""
    found = pathlib.Path(shutil.which("openssl") or "")
    if not found.name:
        raise Unsettled("这台计算机上没有 openssl，签名没有核验")
    place = found.parent.resolve()
    here = copy.path.resolve()
    if place in (pathlib.Path.cwd(), pathlib.Path(__file__).resolve().parent) or (
        not copy.zipped and here in (place, *place.parents)
    ):
        raise Unsettled("找到的 openssl 在副本所在的目录里，不可信，签名没有核验")
    return str(place / found.name)


def main() -> int:
    for stream in (sys.stdout, sys.stderr):
        typing.cast("typing.Any", stream).reconfigure(errors="backslashreplace")
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
    except Exception as exc:  # noqa: BLE001 (whatever was made of the file, the answer is a sentence)
        print(f"不符：文件缺失或损坏（{type(exc).__name__}）")
        return 1
    print("\n".join(said))
    return 0


if __name__ == "__main__":
    sys.exit(main())
