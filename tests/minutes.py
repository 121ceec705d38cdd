"""What is counted by the minute, all within one: at the turn of a minute a count begins anew."""

from types import SimpleNamespace

import pytest

from devices import throttling
from hospital.audit import flood
from hospital.patients import finding

_ENDLESS = 10**10  # seconds: longer than since 1970
_NOW = 1_800_000_000.0  # seconds since 1970, where a minute begins


def stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no minute end before the test does, however slowly it runs."""
    monkeypatch.setattr(flood, "WINDOW", _ENDLESS)
    monkeypatch.setattr(finding, "_MINUTE", _ENDLESS)
    monkeypatch.setattr(throttling, "time", SimpleNamespace(time=lambda: _NOW))
