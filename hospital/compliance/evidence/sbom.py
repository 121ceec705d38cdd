"""软件物料清单: CycloneDX 1.6, of what is installed here, with the hashes it was pinned by."""

import json
import re
from collections.abc import Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import Final
from uuid import NAMESPACE_URL, uuid5

from cyclonedx.model import (
    ExternalReference,
    ExternalReferenceType,
    HashAlgorithm,
    HashType,
    XsUri,
)
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.dependency import Dependency
from cyclonedx.output.json import JsonV1Dot6
from django.conf import settings
from packageurl import PackageURL

from hospital.compliance.evidence.files import Artefact, as_json

_PIN: Final = re.compile(r"^([a-z0-9._-]+)(?:\[[^]]*\])?==(\S+)")
_HASH: Final = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_NAME: Final = re.compile(r"^[A-Za-z0-9._-]+")
_OURS: Final = "face-onboarding"


def made() -> Artefact:
    found = {_normal(one.name): one for one in distributions()}
    pins = _pinned(Path(settings.BASE_DIR) / "requirements.txt")
    parts = {name: _component(name, one, pins) for name, one in sorted(found.items())}
    ours = Component(
        name=_OURS, type=ComponentType.APPLICATION, bom_ref=_OURS, description="刷脸实名建档"
    )
    bom = Bom(components=parts.values(), dependencies=_dependencies(ours, found, parts))
    bom.metadata.component = ours
    said = json.dumps(sorted((name, one.version) for name, one in found.items()))
    bom.serial_number = uuid5(NAMESPACE_URL, said)  # the same parts are the same list
    told = json.loads(JsonV1Dot6(bom).output_as_string())
    told["metadata"].pop("timestamp", None)
    return as_json("sbom.json", "软件物料清单（CycloneDX 1.6）", told)


def _component(name: str, one: Distribution, pins: dict[tuple[str, str], list[str]]) -> Component:
    purl = PackageURL("pypi", name=name, version=one.version)
    hashes = [
        HashType(alg=HashAlgorithm.SHA_256, content=h) for h in pins.get((name, one.version), ())
    ]
    source = ExternalReference(
        type=ExternalReferenceType.DISTRIBUTION,
        url=XsUri(purl.to_string()),
        comment="hashes: of every file of this release that may be installed",
        hashes=hashes,
    )
    return Component(
        name=name,
        version=one.version,
        type=ComponentType.LIBRARY,
        bom_ref=purl.to_string(),
        purl=purl,
        external_references=[source] if hashes else [],
    )


def _dependencies(
    ours: Component, found: dict[str, Distribution], parts: dict[str, Component]
) -> Iterator[Dependency]:
    """What nothing else wants, we do."""
    wanted = {name: _wanted(one) & parts.keys() for name, one in found.items()}
    inner = set[str]().union(*(others - {name} for name, others in wanted.items()))
    yield _dependency(ours, [parts[name] for name in sorted(parts.keys() - inner)])
    for name in sorted(wanted):
        yield _dependency(parts[name], [parts[other] for other in sorted(wanted[name] - {name})])


def _dependency(one: Component, others: list[Component]) -> Dependency:
    return Dependency(one.bom_ref, [Dependency(other.bom_ref) for other in others])


def _wanted(one: Distribution) -> set[str]:
    return {_normal(match[0]) for text in one.requires or () if (match := _NAME.match(text))}


def _pinned(path: Path) -> dict[tuple[str, str], list[str]]:
    """Return the hashes of each pinned release; none, where the file did not come along."""
    pins: dict[tuple[str, str], list[str]] = {}
    here: list[str] = []
    for line in path.read_text().splitlines() if path.is_file() else ():
        if pin := _PIN.match(line):
            here = pins.setdefault((_normal(pin[1]), pin[2]), [])
        here += _HASH.findall(line)
    return pins


def _normal(name: str) -> str:
    """Return a name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()
