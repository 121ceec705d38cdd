"""GET /v3/facemch/users/{face_sid}: who somebody is, checked, sealed and signed as v3 is."""

from typing import Any

from faceauth.simulator import camera, keys
from faceauth.simulator.admission import admit
from faceauth.simulator.camera import Camera, Consent, Sighting
from faceauth.simulator.refusal import (
    APPID_MCH_ID,
    RELATION,
    Refused,
    refuse,
    refuse_parameter,
)
from faceauth.simulator.sealing import seal
from faceauth.simulator.signing import sign
from faceauth.simulator.weather import Spell
from faceauth.simulator.wire import Reply, Request, json_reply
from faceauth.simulator.world import Hospital, Merchant, World

USERS = "/v3/facemch/users/"

_UNPERMITTED = "商户号该产品权限未开通，请前往商户平台>产品中心检查后重试"


def users(
    request: Request, world: World, seen: Camera, *, now: float, spell: Spell | None
) -> Reply:
    """Answer who a face_sid or a token is."""
    try:
        merchant = admit(request, world, now=now)
    except Refused as exc:
        return exc.reply
    try:
        content = _answer(request, merchant, seen, spell)
        reply = json_reply(content, verdict="通过")
    except Refused as exc:
        reply = exc.reply
    return sign(reply, request, world, now=now, spell=spell)


def _answer(
    request: Request, merchant: Merchant, seen: Camera, spell: Spell | None
) -> dict[str, Any]:
    query, name = request.query, spell.name if spell else ""
    info_type = query.get("info_type", "")
    if info_type not in ("ASK_REAL_NAME", "ASK_UNIONID"):
        verdict = "info_type 应为 ASK_REAL_NAME 或 ASK_UNIONID"
        if info_type == "ASK_UNION_ID":
            verdict = "info_type 多了一条下划线：应为 ASK_UNIONID"
        raise refuse_parameter("info_type", "info_type参数错误", verdict=verdict)
    if query.get("appid") != merchant.appid or name == "wrong-appid":
        raise refuse_parameter(
            "appid",
            "appid和mch_id不匹配",
            verdict=f"appid 未绑定商户号 {merchant.mch_id}",
            number=APPID_MCH_ID,
        )
    hospital = _hospital(query, merchant)
    if name == "no-permission":
        raise refuse(403, "NO_AUTH", _UNPERMITTED, verdict="商户未开通实名权限")
    sighting = _sighting(request, merchant, seen)
    answer = _openids(sighting, merchant, query.get("sub_appid", ""))
    if info_type == "ASK_UNIONID":
        return {**answer, "union_id": _union_id(sighting)}
    if sighting.consent is not Consent.GIVEN:
        verdict = "这个人没有（或尚未）同意提供实名信息"
        raise refuse(403, "NO_AUTH", "用户未授权", verdict=verdict)
    opener = hospital.key if hospital else merchant.key
    return {**answer, "real_name_info": seal(sighting.person, opener, spell=spell)}


def _hospital(query: dict[str, str], merchant: Merchant) -> Hospital | None:
    """Return the sub-merchant a partner asks for; a 普通商户 asks for none."""
    sub_mchid = query.get("sub_mchid", "")
    if not merchant.hospitals:
        if sub_mchid:
            raise _unrelated(f"商户号 {merchant.mch_id} 是普通商户，没有特约商户")
        return None
    if not sub_mchid:
        verdict = "服务商模式必须传 sub_mchid"
        raise refuse_parameter("sub_mchid", "sub_mchid参数缺失", verdict=verdict)
    hospital = merchant.hospital(sub_mchid)
    if hospital is None:
        raise _unrelated(f"sub_mchid 不是服务商 {merchant.mch_id} 的特约商户")
    if query.get("sub_appid", hospital.sub_appid) != hospital.sub_appid:
        raise refuse_parameter(
            "sub_appid",
            "sub_appid和sub_mchid不匹配",
            verdict=f"sub_appid 未绑定特约商户 {sub_mchid}",
            number=APPID_MCH_ID,
        )
    if query.get("info_type") == "ASK_REAL_NAME":
        _check_serial(query.get("sub_serial_no", ""), hospital)
    return hospital


def _check_serial(given: str, hospital: Hospital) -> None:
    if not given:
        verdict = "服务商模式查询实名信息必须传 sub_serial_no"
        raise refuse_parameter("sub_serial_no", "sub_serial_no参数缺失", verdict=verdict)
    if not keys.is_serial(given, hospital.certificate):
        verdict = f"sub_serial_no 不是特约商户 {hospital.sub_mch_id} 的证书"
        raise refuse_parameter("sub_serial_no", "sub_serial_no参数错误", verdict=verdict)


def _unrelated(verdict: str) -> Refused:
    return refuse(403, "NO_AUTH", "受理关系不存在", verdict=verdict, number=RELATION)


def _sighting(request: Request, merchant: Merchant, seen: Camera) -> Sighting:
    sighting = seen.find(request.path.removeprefix(USERS))
    asks_union_id = request.query["info_type"] == "ASK_UNIONID"
    if sighting is None:
        verdict = "没有这个凭证，或已超过十分钟"
    elif (sighting.mch_id, sighting.sub_mch_id) != (
        merchant.mch_id,
        request.query.get("sub_mchid", ""),
    ):
        verdict = "凭证属于另一商户"
    elif sighting.is_token and not asks_union_id:
        verdict = "这是 getWxpayfaceUserInfo 的 token，只能用于 ASK_UNIONID"
    elif asks_union_id and not sighting.is_token:
        verdict = "ASK_UNIONID 用 getWxpayfaceUserInfo 返回的 token，不用 face_sid"
    else:
        return sighting
    raise refuse(404, "RESOURCE_NOT_EXISTS", "face_sid不存在或已过期", verdict=verdict)


def _openids(sighting: Sighting, merchant: Merchant, sub_appid: str) -> dict[str, str]:
    answer = {"openid": camera.openid(sighting.person, merchant.appid)}
    if sub_appid:
        answer["sub_openid"] = camera.openid(sighting.person, sub_appid)
    return answer


def _union_id(sighting: Sighting) -> str:
    if not sighting.person.has_union_id:
        verdict = "公众号未绑定微信开放平台，或此人没有 UnionID"
        raise refuse(400, "INVALID_REQUEST", "UnionID为空", verdict=verdict)
    return camera.union_id(sighting.person)
