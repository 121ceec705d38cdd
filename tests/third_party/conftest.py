"""What a merchant is given, and how to read the answer without any code of ours."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from faceauth.simulator import Simulator


@dataclass(frozen=True)
class Papers:
    """An exported merchant.json or partner.json, and the PEM files it names."""

    directory: Path
    fields: dict[str, Any]

    def __getitem__(self, name: str) -> str:
        return str(self.fields[name])

    def pem(self, name: str) -> str:
        return (self.directory / self[f"{name}_file"]).read_text()


@pytest.fixture
def papers(simulator: Simulator, wechat_url: str, tmp_path: Path) -> Papers:
    simulator.export(tmp_path, base_url=wechat_url)
    return Papers(tmp_path, json.loads((tmp_path / "merchant.json").read_text()))


@pytest.fixture
def partner(papers: Papers) -> Papers:
    """What the 服务商 of the same world is given."""
    fields = json.loads((papers.directory / "partner.json").read_text())
    return Papers(papers.directory, fields)


@pytest.fixture
def hospital(partner: Papers) -> Papers:
    """What the second of the 服务商's hospitals is given."""
    return Papers(partner.directory, partner.fields["hospitals"][1])


@pytest.fixture
def name_in(papers: Papers) -> Callable[..., str]:
    """Open the name in an answer's body, with the merchant's key unless given another (PEM)."""

    def opened(body: str, *, pem: str = papers.pem("merchant_key")) -> str:
        key = load_pem_private_key(pem.encode(), password=None)
        assert isinstance(key, RSAPrivateKey)
        sealed = base64.b64decode(json.loads(body)["real_name_info"]["encrypted_real_name"])
        return key.decrypt(sealed, padding.PKCS1v15()).decode()

    return opened
