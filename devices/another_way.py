"""不刷脸怎么办: no terminal works where there is no other way in (人脸识别办法 第十条)."""

from devices.models import Store
from hospital.errors import Refusal


class NoFallback(Refusal):
    code = "no_fallback"
    message = "该门店没有登记不刷脸的办理地点，不能刷脸；请系统管理员在门店中填写"


def demand_fallback(store: Store) -> None:
    """:raises NoFallback: nobody has said where who does not use the face is served"""
    if not store.fallback.strip():
        raise NoFallback


def directions(words: str, store: Store) -> str:
    """Return a notice's own words for the other way in, and where that is at this store."""
    place = store.fallback.strip()
    if not place or place in words:
        return words
    return f"{words.rstrip('。')}。地点：{place}"
