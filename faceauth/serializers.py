from typing import Any

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers
from rest_framework.validators import ProhibitSurrogateCharactersValidator

from devices.another_way import directions
from faceauth import examples, wechat
from faceauth.models import FaceSession, Notice
from faceauth.reasons import reason
from hospital.api import StrictSerializer
from hospital.patients.models import Patient

RAWDATA = r"^[A-Za-z0-9+/]+={0,2}\Z"  # base64 as the SDK returns it; a space was once a plus
FACE_SID = "^" + wechat.FACE_SID.pattern + r"\Z"
OPENID = r"^[0-9A-Za-z_-]{16,128}\Z"
RETURN_CODE = r"^[A-Z_]{1,32}\Z"
FACE_AUTH, FACEID_ONCE = FaceSession.Kind.FACE_AUTH, FaceSession.Kind.FACEID_ONCE
PURPOSE = r"^[a-z_]{1,32}\Z"


class ExactField(serializers.RegexField):
    """A string that matches as it stands: nothing is trimmed, a number is not a string."""

    def __init__(self, pattern: str, **options: Any) -> None:
        super().__init__(pattern, trim_whitespace=False, **options)
        # It goes through the text one by one for what no pattern of ours lets pass.
        self.validators = [
            one
            for one in self.validators
            if not isinstance(one, ProhibitSurrogateCharactersValidator)
        ]

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class ExactBooleanField(serializers.BooleanField):
    """JSON true or false: a consent is not a "yes", an "on" or a 1."""

    def to_internal_value(self, data: Any) -> bool:
        if not isinstance(data, bool):
            self.fail("invalid")
        return data


class ExactIntegerField(serializers.IntegerField):
    """A JSON integer: neither a string of digits nor 3.0."""

    def to_internal_value(self, data: Any) -> int:
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("invalid")
        return super().to_internal_value(data)


@extend_schema_serializer(examples=[examples.AUTHINFO_REQUEST])
class AuthinfoRequestSerializer(StrictSerializer):
    rawdata = ExactField(RAWDATA, max_length=2048, help_text="getWxpayfaceRawdata 的结果，原样")
    refresh = ExactBooleanField(default=False, help_text="SDK 报凭证无效时为 true")


@extend_schema_serializer(examples=[examples.AUTHINFO])
class AuthinfoSerializer(serializers.Serializer[Any]):
    authinfo = serializers.CharField()
    expires_in = serializers.IntegerField(help_text="秒")
    appid = serializers.CharField()
    mch_id = serializers.CharField()
    sub_appid = serializers.CharField(required=False)
    sub_mch_id = serializers.CharField(required=False)
    store_id = serializers.CharField()
    face_authtype = serializers.CharField()


class PurposeSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]  # a field called label
    required = serializers.BooleanField()  # type: ignore[assignment]


@extend_schema_serializer(examples=[examples.NOTICE])
class NoticeSerializer(serializers.ModelSerializer[Notice]):
    version = serializers.IntegerField()
    purposes = PurposeSerializer(many=True)

    class Meta:
        model = Notice
        fields = ["version", "digest", "digest_sm3", "title", "text", "purposes", "fallback"]

    def to_representation(self, instance: Notice) -> dict[str, Any]:
        shown = super().to_representation(instance)
        return {**shown, "fallback": directions(instance.fallback, self.context["store"])}


@extend_schema_serializer(
    examples=[
        examples.OPENING,
        examples.OPENING_REFUSED,
        examples.OPENING_ONCE,
        examples.OPENING_AGAIN,
    ]
)
class OpeningSerializer(StrictSerializer):
    notice_version = ExactIntegerField(min_value=1, max_value=2**31 - 1)
    granted = ExactBooleanField()
    purposes = serializers.ListField(child=ExactField(PURPOSE), max_length=16, allow_empty=True)
    kind = serializers.ChoiceField(
        FaceSession.Kind.choices,
        default=FACE_AUTH,
        help_text="FACEID-ONCE：只识别已建档患者，不查询实名",
    )
    on_request = ExactBooleanField(
        default=False, help_text="患者自己要求办理：近期不同意过，也再询问一次"
    )


@extend_schema_serializer(examples=[examples.SIGHTING_REQUEST, examples.SIGHTING_REQUEST_ONCE])
class SightingRequestSerializer(StrictSerializer):
    """What the SDK returned, never with a nickname."""

    face_sid = ExactField(FACE_SID, required=False, help_text="FACE_AUTH：getWxpayfaceCode 的结果")
    openid = ExactField(OPENID, required=False)
    sub_openid = ExactField(OPENID, required=False)
    token = ExactField(
        FACE_SID, required=False, help_text="FACEID-ONCE：getWxpayfaceUserInfo 的结果"
    )

    def get_fields(self) -> dict[str, serializers.Field[Any, Any, Any, Any]]:
        fields = super().get_fields()
        # What belongs to the other kind of session is an unknown field to this one.
        for kind, name in ((FACE_AUTH, "token"), (FACEID_ONCE, "face_sid")):
            if self.context.get("kind") == kind:
                del fields[name]
        return fields


@extend_schema_serializer(examples=[examples.AUTHORIZATION_REQUEST])
class AuthorizationRequestSerializer(StrictSerializer):
    return_code = ExactField(RETURN_CODE, help_text="getWxpayAuth 的 return_code")
    return_msg = serializers.CharField(
        max_length=128, required=False, allow_blank=True, help_text="不保存"
    )


class PatientSerializer(serializers.ModelSerializer[Patient]):
    """What a terminal may know of a patient: never the full name, never the document."""

    masked_name = serializers.CharField()

    class Meta:
        model = Patient
        fields = ["number", "masked_name"]


class ReasonSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    detail = serializers.CharField()


@extend_schema_serializer(
    examples=[examples.SESSION_PENDING, examples.SESSION_ONBOARDED, examples.SESSION_DECLINED]
)
class FaceSessionSerializer(serializers.ModelSerializer[FaceSession]):
    reason = ReasonSerializer(required=False)
    patient = PatientSerializer(required=False)

    class Meta:
        model = FaceSession
        fields = ["id", "state", "reason", "patient"]

    def to_representation(self, instance: FaceSession) -> dict[str, Any]:
        shown: dict[str, Any] = {"id": str(instance.pk), "state": instance.state}
        if why := reason(instance):
            shown["reason"] = why
        if patient := instance.found_patient:
            shown["patient"] = PatientSerializer(patient).data
        return shown


@extend_schema_serializer(examples=[examples.OPENED])
class OpenedSerializer(FaceSessionSerializer):
    fallback = serializers.CharField(help_text="不刷脸的办理方式")
    ask_unionid = serializers.ChoiceField(
        ["0", "1"],
        required=False,
        help_text="FACEID-ONCE：交给 getWxpayfaceUserInfo，字符串",
    )

    class Meta(FaceSessionSerializer.Meta):
        fields = ["id", "state", "fallback", "ask_unionid"]

    def to_representation(self, instance: FaceSession) -> dict[str, Any]:
        shown = super().to_representation(instance)
        shown["fallback"] = _another_way(instance)
        if instance.kind == FACEID_ONCE and instance.merchant is not None:
            shown["ask_unionid"] = "1" if instance.merchant.asks_union_id else "0"
        return shown


@extend_schema_serializer(
    examples=[examples.SIGHTING, examples.SIGHTING_KNOWN, examples.SIGHTING_NOT_ASKED]
)
class SightingSerializer(FaceSessionSerializer):
    quit_face_auth = serializers.ChoiceField(
        ["0", "1"], required=False, help_text="FACE_AUTH：交给 getWxpayAuth，字符串"
    )

    class Meta(FaceSessionSerializer.Meta):
        fields = ["id", "state", "reason", "quit_face_auth", "patient"]

    def to_representation(self, instance: FaceSession) -> dict[str, Any]:
        shown = super().to_representation(instance)
        if instance.kind == FACE_AUTH:
            shown["quit_face_auth"] = "0" if instance.state == FaceSession.State.SEEN else "1"
        return shown


@extend_schema_serializer(examples=[examples.WITHDRAWAL_REQUEST])
class WithdrawalRequestSerializer(StrictSerializer):
    """Nothing is asked: taking back is as easy as that."""


@extend_schema_serializer(examples=[examples.WITHDRAWAL])
class WithdrawalSerializer(serializers.Serializer[FaceSession]):
    state = serializers.ChoiceField(FaceSession.State.choices)
    fallback = serializers.CharField(help_text="不刷脸的办理方式")

    def to_representation(self, instance: FaceSession) -> dict[str, Any]:
        return {"state": instance.state, "fallback": _another_way(instance)}


def _another_way(session: FaceSession) -> str:
    return directions(session.consent.notice.fallback, session.terminal.store)
