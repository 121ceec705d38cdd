"""
WeChat's C library: WxpayFaceSDK.dll, or anything with the same two symbols. ctypes only.

The vendor's DLL is 32-bit and cdecl; it speaks to WxpayFaceService, which must be running.
"""

import ctypes
import json
from pathlib import Path
from typing import Any

from devices.sdk import errors

OK = 0


class CLibrary:
    """
    The loaded library.

    :raises errors.NotLoadable: no such file, another word size, or a symbol is missing
    """

    def __init__(self, path: Path) -> None:
        try:
            library = ctypes.CDLL(str(path))  # cdecl; WinDLL would be stdcall and lose the stack
            self._call = library.wxpayCallFaceService
            self._release = library.wxpayReleaseResponse
        except (OSError, AttributeError):
            raise errors.NotLoadable from None
        # c_void_p, not c_char_p: ctypes would turn the latter into bytes and lose the address
        # that has to be given back.
        response, size = ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(ctypes.c_uint)
        self._call.argtypes = [ctypes.c_char_p, ctypes.c_uint, response, size]
        self._call.restype = ctypes.c_int
        self._release.argtypes = [response]
        self._release.restype = None

    def call(self, request: dict[str, Any]) -> dict[str, Any]:
        """
        Pass one command as UTF-8 JSON, copy the answer, and give its memory back.

        :raises errors.NotRunning: the library returned non-zero
        :raises errors.Unreadable: the answer is no JSON object
        """
        body = json.dumps(request, ensure_ascii=False, separators=(",", ":")).encode()
        response, size = ctypes.c_void_p(), ctypes.c_uint()
        failed = self._call(body, len(body), ctypes.byref(response), ctypes.byref(size))
        if failed != OK:
            raise errors.NotRunning
        if not response.value:
            raise errors.Unreadable
        try:
            answer = ctypes.string_at(response.value, size.value)
        finally:
            self._release(ctypes.byref(response))
        return _parsed(answer)


def _parsed(answer: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(answer)
    except ValueError:
        raise errors.Unreadable from None
    if not isinstance(parsed, dict):
        raise errors.Unreadable
    return parsed
