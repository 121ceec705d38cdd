"""What the merchants hold, as files: merchant.json, partner.json and the PEM files they name."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from faceauth.simulator import keys
from faceauth.simulator.world import Hospital, World, keep

_SHARED = {  # WeChat's public halves, which both kinds of merchant hold
    "platform_certificate_file": "platform_certificate.pem",
    "wechat_public_key_file": "wechat_public_key.pem",
}


def export(world: World, directory: Path, *, base_url: str) -> None:
    """Write both merchants' sides for clients at `base_url`."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    keep(directory / _SHARED["platform_certificate_file"], world.platform_certificate)
    keep(directory / _SHARED["wechat_public_key_file"], keys.public_key(world.wechat_key))
    _export_direct(world, directory, base_url)
    _export_partner(world, directory, base_url)


def _export_direct(world: World, directory: Path, base_url: str) -> None:
    files = {
        "merchant_key_file": "merchant_key.pem",
        "merchant_certificate_file": "merchant_certificate.pem",
    }
    keep(directory / files["merchant_key_file"], world.merchant_key)
    keep(directory / files["merchant_certificate_file"], world.merchant_certificate)
    facts = {
        "mch_id": world.mch_id,
        "appid": world.appid,
        "apiv2_key": world.apiv2_key,
        "apiv3_key": world.apiv3_key,
        "merchant_serial": world.merchant_serial,
        **files,
    }
    _write(directory / "merchant.json", facts, world, base_url)


def _export_partner(world: World, directory: Path, base_url: str) -> None:
    partner = world.partner
    files = {"sp_key_file": "sp_key.pem", "sp_certificate_file": "sp_certificate.pem"}
    keep(directory / files["sp_key_file"], partner.key)
    keep(directory / files["sp_certificate_file"], partner.certificate)
    facts = {
        "mch_id": partner.mch_id,
        "appid": partner.appid,
        "apiv2_key": partner.apiv2_key,
        "apiv3_key": partner.apiv3_key,
        "sp_serial": partner.serial,
        "hospitals": [
            _export_hospital(one, directory, number)
            for number, one in enumerate(partner.hospitals, start=1)
        ],
        **files,
    }
    _write(directory / "partner.json", facts, world, base_url)


def _export_hospital(hospital: Hospital, directory: Path, number: int) -> dict[str, str]:
    files = {
        "key_file": f"hospital{number}_key.pem",
        "certificate_file": f"hospital{number}_certificate.pem",
    }
    keep(directory / files["key_file"], hospital.key)
    keep(directory / files["certificate_file"], hospital.certificate)
    return {
        "sub_mch_id": hospital.sub_mch_id,
        "sub_appid": hospital.sub_appid,
        "sub_serial_no": hospital.serial,
        **files,
    }


def _write(path: Path, facts: Mapping[str, Any], world: World, base_url: str) -> None:
    shared = {
        "store_id": world.store_id,
        "platform_serial": world.platform_serial,
        "wechat_public_key_id": world.wechat_public_key_id,
        "v2_base_url": base_url,
        "v3_base_url": base_url,
        **_SHARED,
    }
    keep(path, json.dumps({**facts, **shared}, indent=2))
