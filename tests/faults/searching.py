"""Whether anything anywhere says who somebody is, however it is written."""

import base64
import json
import os
import subprocess
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path


def telling(places: Mapping[str, bytes], secrets: Collection[str]) -> set[str]:
    """Return which of the places say one of the secrets."""
    if not secrets:
        return set()
    forms = {form for secret in secrets for form in _written(secret)}
    with tempfile.TemporaryDirectory() as directory:
        names = {}
        for number, (name, text) in enumerate(places.items()):
            path = Path(directory, str(number))
            path.write_bytes(text)
            names[str(path)] = name
        # grep looks for thousands of texts at once.
        found = subprocess.run(
            ["grep", "-laF", "-f", "-", *names],
            env={**os.environ, "LC_ALL": "C"},
            input=b"\n".join(forms) + b"\n",
            stdout=subprocess.PIPE,
            check=False,
        )
    if found.returncode > 1:
        raise RuntimeError("grep failed")
    return {names[path] for path in found.stdout.decode().split()}


def _written(secret: str) -> Iterator[bytes]:
    """Yield it as it is, as JSON escapes it, and each as a part of something in base64."""
    for raw in {secret.encode(), json.dumps(secret)[1:-1].encode()}:
        yield raw
        for before in range(3):
            whole = base64.b64encode(bytes(before) + raw).decode().rstrip("=")
            # Characters that hang on what stands before or after it as well.
            cut = len(whole) - 1 if (before + len(raw)) % 3 else len(whole)
            yield whole[(0, 2, 3)[before] : cut].encode()
