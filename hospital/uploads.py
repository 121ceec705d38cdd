"""What is uploaded is a key or a certificate: it stays in memory, or is not taken at all."""

from typing import Any

from django.core.exceptions import RequestDataTooBig
from django.core.files.uploadhandler import MemoryFileUploadHandler


class InMemory(MemoryFileUploadHandler):
    """Refuses what Django would have put into a temporary file."""

    def handle_raw_input(self, *args: Any, **kwargs: Any) -> None:
        """:raises RequestDataTooBig: over FILE_UPLOAD_MAX_MEMORY_SIZE"""
        super().handle_raw_input(*args, **kwargs)
        if not self.activated:
            raise RequestDataTooBig
