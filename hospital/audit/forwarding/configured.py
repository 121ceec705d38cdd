"""What the settings say of the log server: where it is, whom we take for it, who we are."""

import hashlib
import os
import re
import socket
import ssl
from typing import Final

from django.conf import settings

from hospital import egress
from hospital.audit import canonical, trail
from hospital.audit.forwarding.forwarder import Forwarder
from hospital.audit.forwarding.syslog import Sender
from hospital.audit.forwarding.wire import Receiver
from hospital.audit.trail import NotConfigured

_PORT: Final = 6514  # syslog-tls, RFC 5425 §4.1
_PORTS: Final = range(1, 65_536)
_LABEL: Final = re.compile(r"(?!-)[0-9A-Za-z_-]{1,63}(?<!-)", re.ASCII)
_LONGEST: Final = 55  # characters of an address: a sink's name has 64


def forwarder() -> Forwarder:
    """
    Return who sends to the configured receiver.

    :raises NotConfigured:
    """
    host, port = _address()
    if settings.FORWARD_ENTERPRISE <= 0:
        raise NotConfigured("FORWARD_ENTERPRISE 须是正整数：在 IANA 登记的企业编号")
    sender = Sender(
        origin=trail.origin(),
        hostname=socket.getfqdn(),
        process=os.getpid(),
        enterprise=settings.FORWARD_ENTERPRISE,
    )
    receiver = Receiver(host, port, _context(), permit=egress.permits)
    return Forwarder(sink(), sender, connect=receiver.connect)


def sink() -> str:
    """
    Return the receiver's name: another one, or a log begun anew, is sent everything.

    :raises NotConfigured:
    """
    host, port = _address()
    which = hashlib.sha256(trail.origin().encode()).hexdigest()[:8]
    return f"{host}:{port}/{which}"


def _address() -> tuple[str, int]:
    address: str = settings.FORWARD_ADDRESS
    host, separator, port = address.rpartition(":")
    if not separator:
        host, port = address, str(_PORT)
    if not host or not canonical.SLUG.fullmatch(address) or not port.isdecimal():
        raise NotConfigured("先设置 FORWARD_ADDRESS：日志服务器，如 siem.hospital.example:6514")
    if not all(map(_LABEL.fullmatch, host.split("."))):
        raise NotConfigured("FORWARD_ADDRESS 里不是主机名或 IPv4 地址")
    if len(port) > len(str(_PORTS[-1])) or int(port) not in _PORTS:
        raise NotConfigured("FORWARD_ADDRESS 的端口须在 1 至 65535 之间")
    if len(address) > _LONGEST:
        raise NotConfigured(f"FORWARD_ADDRESS 过长：最多 {_LONGEST} 个字符")
    return host, int(port)


def _context() -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings.FORWARD_CA or None)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if settings.FORWARD_CERTIFICATE:
            context.load_cert_chain(settings.FORWARD_CERTIFICATE, settings.FORWARD_KEY_FILE or None)
    except OSError:  # SSLError as well
        raise NotConfigured(
            "FORWARD_CA、FORWARD_CERTIFICATE、FORWARD_KEY_FILE 里有文件读不了或不是 PEM"
        ) from None
    return context
