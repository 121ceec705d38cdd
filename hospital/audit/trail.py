"""What the settings say of the log: its name, who signs it, who cosigns, where it is anchored."""

import ssl
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from django.conf import settings

from hospital import egress
from hospital.audit import canonical, log_key
from hospital.audit.anchoring import AnchorFile
from hospital.audit.anchors import Sink, rfc3161
from hospital.audit.anchors.countersigning import CounterSignatures
from hospital.audit.checkpoint import BadNote, Verifier
from hospital.audit.marking import Mark
from hospital.audit.notary import Notary
from hospital.audit.witnessing import Witness

TIMEOUT = 5.0  # seconds for a witness to answer; nothing is sealed meanwhile


class NotConfigured(Exception):
    """A setting is missing or makes no sense; the text names it, in Chinese."""


def origin() -> str:
    """
    Return the log's name.

    :raises NotConfigured:
    """
    name: str = settings.TRAIL_ORIGIN
    if not name or not canonical.SLUG.fullmatch(name):
        raise NotConfigured("先设置 TRAIL_ORIGIN：留痕的名称，如 hospital.example/trail")
    return name


def key_file() -> Path:
    """
    Return where the log's key is; only the notary's process knows.

    :raises NotConfigured:
    """
    if not settings.NOTARY_KEY_FILE:
        raise NotConfigured("先设置 NOTARY_KEY_FILE：留痕的签名密钥，只供签名进程（notary）")
    return Path(settings.NOTARY_KEY_FILE)


def verifiers() -> list[Verifier]:
    """
    Return the public keys by which the log and its witnesses are known.

    :raises NotConfigured:
    """
    try:
        return [Verifier.parse(one.strip()) for one in settings.TRAIL_VERIFIERS]
    except BadNote:
        raise NotConfigured("TRAIL_VERIFIERS 里有一个不是公钥（名称+编号+base64）") from None


def notary() -> Callable[[datetime], Notary]:
    """
    Return what opens the notary, once the lock is held.

    :raises NotConfigured:
    :raises Unusable: the log's key is not there, or not to be used
    """
    signer = log_key.load(key_file(), name=origin())
    mark = Mark(settings.NOTARY_STATE)
    anchor = AnchorFile(Path(settings.ANCHOR_FILE)) if settings.ANCHOR_FILE else None
    witness, sinks = _witness(), _sinks()

    def opened(now: datetime) -> Notary:
        return Notary(signer, mark, now=now, witness=witness, anchor=anchor, sinks=sinks)

    return opened


def _witness() -> Witness | None:
    if not settings.WITNESS_URL:
        return None
    known = [one for one in verifiers() if one.is_witness]
    if not known:
        raise NotConfigured("设置了 WITNESS_URL，却没有见证方的公钥：加进 TRAIL_VERIFIERS")
    try:
        trusted = ssl.create_default_context(cafile=settings.WITNESS_CA_FILE or None)
    except OSError:  # ssl.SSLError is one
        raise NotConfigured("WITNESS_CA_FILE 无法读取：见证方证书的签发机构（PEM）") from None
    http = egress.client(base_url=settings.WITNESS_URL, timeout=TIMEOUT, verify=trusted)
    return Witness(http, known)


def _sinks() -> list[Sink]:
    found: list[Sink] = []
    if settings.TIMESTAMP_URL:
        try:
            roots = rfc3161.certificates(Path(settings.TIMESTAMP_CA))
        except (OSError, ValueError):
            raise NotConfigured(
                "设置了 TIMESTAMP_URL，还要 TIMESTAMP_CA：时间戳机构的证书（PEM）"
            ) from None
        found.append(rfc3161.TimeStamps(settings.TIMESTAMP_URL, roots, permit=egress.permits))
    if settings.COUNTERSIGN_COMMAND:
        key = Path(settings.COUNTERSIGN_PUBLIC_KEY)
        if not key.is_file():
            raise NotConfigured(
                "设置了 COUNTERSIGN_COMMAND，还要 COUNTERSIGN_PUBLIC_KEY：副署的公钥（PEM）"
            )
        try:
            found.append(CounterSignatures.of(settings.COUNTERSIGN_COMMAND, key))
        except ValueError:
            raise NotConfigured("COUNTERSIGN_COMMAND 的引号不成对") from None
    return found
