"""A log server as strict as RFC 5425 lets it be, in a thread; and one that misbehaves on demand."""

import contextlib
import queue
import re
import select
import socket
import ssl
import struct
import threading
import time

FRAME = re.compile(rb"([1-9][0-9]{0,6}) ")


class LogServer:
    """
    Keeps every whole message it has read.

    :param manner: proper; resets (after so many messages); slow; silent (reads nothing);
        mute (never answers a close_notify); leaves (closes on its own after its first octets);
        lingers (closes on its own a moment after they came, reads nothing, does not hang up);
        talks (without end)
    """

    def __init__(self, certificate, key, *, clients=None, port=0, manner="proper", after=0):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(certificate, key)
        if clients:
            self.context.verify_mode = ssl.CERT_REQUIRED
            self.context.load_verify_locations(clients)
        self.manner, self.after = manner, after
        self.messages, self.connections, self.closed_in_order = [], 0, 0
        self.faults = queue.SimpleQueue()
        self.listener = socket.create_server(("127.0.0.1", port))
        self.listener.settimeout(0.05)
        self.port = self.listener.getsockname()[1]
        self.stopping, self.talking = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._serve)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.stop()

    def stop(self):
        self.stopping.set()
        self.thread.join()
        self.listener.close()
        if not self.faults.empty():
            raise AssertionError(self.faults.get())

    def _serve(self):
        while not self.stopping.is_set():
            try:
                plain, _ = self.listener.accept()
            except TimeoutError:
                continue
            self.connections += 1
            plain.settimeout(5)
            with plain, contextlib.suppress(OSError):
                self._receive(
                    self.context.wrap_socket(plain, server_side=True, suppress_ragged_eofs=False)
                )

    def _receive(self, tls):
        buffer = b""
        tls.settimeout(0.05)
        with tls:
            if self.manner in ("silent", "lingers", "talks"):
                self._read_nothing(tls)
                return
            while not self.stopping.is_set():
                try:
                    octets = tls.recv(16_384)
                except TimeoutError:
                    continue
                if not octets:
                    if buffer:
                        self.faults.put(f"half a message: {buffer[:50]!r}")
                    if self.manner == "mute":
                        return
                    tls.settimeout(5)
                    tls.unwrap()
                    self.closed_in_order += 1
                    return
                buffer = self._take(buffer + octets)
                if self.manner == "resets" and len(self.messages) >= self.after:
                    self.manner = "proper"
                    linger = struct.pack("ii", 1, 0)  # RST
                    tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                    return
                if self.manner == "leaves":
                    _close(tls)
                    self.manner = "proper"  # a test waits for it, and what was said is there
                    return
                if self.manner == "slow":
                    time.sleep(0.02)

    def _read_nothing(self, tls):
        if self.manner == "lingers":
            select.select([tls], [], [])
            time.sleep(0.05)
            _close(tls)
            socket.socket.shutdown(tls, socket.SHUT_WR)
        tls.settimeout(30)
        while self.manner == "talks" and not self.stopping.is_set():
            tls.sendall(b"x" * 1_024)
            self.talking.set()
        self.stopping.wait(30)

    def _take(self, buffer):
        while frame := FRAME.match(buffer):
            end = frame.end() + int(frame[1])
            if len(buffer) < end:
                return buffer
            self.messages.append(buffer[frame.end() : end])
            buffer = buffer[end:]
        if len(buffer) > 8:
            self.faults.put(f"no length: {buffer[:50]!r}")
        return buffer


def _close(tls):
    """Send a close_notify, without waiting for the other's."""
    tls.settimeout(0)
    with contextlib.suppress(OSError):
        tls.unwrap()
