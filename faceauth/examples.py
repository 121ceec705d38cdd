"""What the API description shows: synthetic values throughout."""

from drf_spectacular.utils import OpenApiExample

SESSION = "019b8a4e-7d00-7000-8000-0000000000aa"
FACE_SID = "bbaf113f-4171-4332-9c79-dace6d35a917"
OPENID = "oXXXXXXXXXXXXXXXXXXXXXXXXXXX"
PATIENT = {"number": "M00000001", "masked_name": "张*三"}

AUTHINFO_REQUEST = OpenApiExample("取凭证", {"rawdata": "c3ludGhldGljIHJhd2RhdGE="})
AUTHINFO = OpenApiExample(
    "凭证",
    {
        "authinfo": "c3ludGhldGljIGF1dGhpbmZv",
        "expires_in": 3300,
        "appid": "wx00000000000000aa",
        "mch_id": "1900000001",
        "store_id": "menzhen",
        "face_authtype": "FACE_AUTH",
    },
)
NOTICE = OpenApiExample(
    "告知书",
    {
        "version": 3,
        "digest": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "digest_sm3": "55e12e91650d2fec56ec74e1d3e4ddbfce2ef3a65890c2a19ecf88a307e76a23",
        "title": "刷脸建档告知书",
        "text": "为给您建立就诊档案……",
        "purposes": [{"code": "onboarding", "label": "建立就诊档案", "required": True}],
        "fallback": "请到人工窗口凭身份证件建档",
    },
)
OPENING = OpenApiExample("同意", {"notice_version": 3, "granted": True, "purposes": ["onboarding"]})
OPENING_REFUSED = OpenApiExample("不同意", {"notice_version": 3, "granted": False, "purposes": []})
OPENING_ONCE = OpenApiExample(
    "只识别",
    {
        "notice_version": 3,
        "granted": True,
        "purposes": ["onboarding"],
        "kind": "FACEID-ONCE",
    },
)
OPENING_AGAIN = OpenApiExample(
    "患者要求重新办理",
    {"notice_version": 3, "granted": True, "purposes": ["onboarding"], "on_request": True},
)
OPENED = OpenApiExample(
    "已打开", {"id": SESSION, "state": "opened", "fallback": "请到人工窗口凭身份证件建档"}
)
SIGHTING_REQUEST = OpenApiExample("FACE_AUTH", {"face_sid": FACE_SID, "openid": OPENID})
SIGHTING_REQUEST_ONCE = OpenApiExample("FACEID-ONCE", {"openid": OPENID, "token": FACE_SID})
SIGHTING = OpenApiExample("初诊", {"id": SESSION, "state": "seen", "quit_face_auth": "0"})
SIGHTING_NOT_ASKED = OpenApiExample(
    "近期不同意",
    {
        "id": SESSION,
        "state": "refused",
        "quit_face_auth": "1",
        "reason": {
            "code": "refused_recently",
            "detail": "您近期没有同意，不再重复询问；要办理请点“我要重新办理”，或到人工窗口",
        },
    },
)
SIGHTING_KNOWN = OpenApiExample(
    "复诊",
    {"id": SESSION, "state": "recognised", "quit_face_auth": "1", "patient": PATIENT},
)
AUTHORIZATION_REQUEST = OpenApiExample("已授权", {"return_code": "SUCCESS"})
SESSION_PENDING = OpenApiExample("处理中", {"id": SESSION, "state": "authorized"})
SESSION_ONBOARDED = OpenApiExample(
    "已建档", {"id": SESSION, "state": "onboarded", "patient": PATIENT}
)
SESSION_DECLINED = OpenApiExample(
    "未授权",
    {
        "id": SESSION,
        "state": "declined",
        "reason": {
            "code": "declined",
            "detail": "您未在微信上授权，可重新刷脸，或到人工窗口办理",
        },
    },
)
WITHDRAWAL_REQUEST = OpenApiExample("撤回同意", {})
WITHDRAWAL = OpenApiExample(
    "办理中撤回", {"state": "refused", "fallback": "请到人工窗口凭身份证件建档"}
)
