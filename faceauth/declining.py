"""
Who said no on WeChat's screen is not asked again of itself for 30 days.

网络数据安全管理条例 第二十二条: 不得频繁征求同意.
"""

from collections.abc import Collection, Mapping
from datetime import datetime

from faceauth.models import Declining
from hospital.crypto.indexes import token_digests

_LABEL = "declining.openid"


def indexes(openids: Mapping[str, str]) -> list[str]:
    """Return what these accounts are remembered under, by every key that is in use."""
    return [
        one
        for appid, openid in openids.items()
        for one in token_digests(_LABEL, f"{appid} {openid}")
    ]


def remember(found: Collection[str], *, at: datetime) -> None:
    """Note that the account with these `indexes` said no."""
    for index in found:
        until = at + Declining.LASTS
        Declining.objects.update_or_create(openid_index=index, defaults={"until": until})


def forget(found: Collection[str]) -> None:
    """Note that it said yes after all."""
    Declining.objects.filter(openid_index__in=found).delete()


def is_recent(found: Collection[str], *, at: datetime) -> bool:
    """Whether the account said no within `Declining.LASTS`."""
    return Declining.objects.filter(openid_index__in=found, until__gt=at).exists()
