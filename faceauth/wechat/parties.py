"""Who takes part in a call, in WeChat's own words."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Party:
    """Who we are to WeChat. With `sub_*` set, 服务商 mode: the first two are the 服务商's."""

    appid: str
    mch_id: str
    sub_appid: str = ""
    sub_mch_id: str = ""


@dataclass(frozen=True, slots=True)
class Device:
    """The terminal an authinfo is for, in the merchant's own words."""

    store_id: str
    store_name: str
    device_id: str
