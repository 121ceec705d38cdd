from typing import Any

from drf_spectacular.utils import extend_schema_serializer
from rest_framework import serializers

from devices import examples
from devices.models import Terminal
from hospital.api import StrictSerializer

LARGEST = 2**31 - 1  # of the database's column


@extend_schema_serializer(examples=[examples.ACTIVATION])
class ActivationSerializer(StrictSerializer):
    code = serializers.CharField(max_length=20, help_text="后台显示的一次性激活码")
    public_key = serializers.CharField(max_length=1024, help_text="PEM 公钥：P-256 或 Ed25519")
    model = serializers.CharField(max_length=64)
    sdk_version = serializers.CharField(max_length=32)
    agent_version = serializers.CharField(max_length=32)


class StoreSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    name = serializers.CharField()


class TerminalSerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    serial = serializers.CharField()
    name = serializers.CharField()


@extend_schema_serializer(examples=[examples.ACTIVATED])
class ActivatedSerializer(serializers.Serializer[Any]):
    terminal = TerminalSerializer()
    key_id = serializers.CharField()
    store = StoreSerializer()
    server_time = serializers.DateTimeField()


@extend_schema_serializer(examples=[examples.KEY])
class KeySerializer(StrictSerializer):
    public_key = serializers.CharField(max_length=1024, help_text="PEM 公钥：P-256 或 Ed25519")
    proof = serializers.CharField(
        max_length=128,
        help_text="新密钥的签名（base64）：face-terminal-key-v1、终端 id、新密钥编号、旧密钥编号，"
        "各占一行，以 LF 分隔，末尾无 LF；P-256 为 r‖s 共 64 字节",
    )


@extend_schema_serializer(examples=[examples.REGISTERED_KEY])
class RegisteredKeySerializer(serializers.Serializer[Any]):
    key_id = serializers.CharField(source="pk")
    algorithm = serializers.CharField()
    created_at = serializers.DateTimeField()


@extend_schema_serializer(examples=[examples.HEARTBEAT])
class HeartbeatSerializer(StrictSerializer):
    agent_version = serializers.CharField(max_length=32)
    sdk_version = serializers.CharField(max_length=32)
    os = serializers.CharField(max_length=64, required=False)
    camera = serializers.ChoiceField(Terminal.Camera.values)
    clock = serializers.FloatField(min_value=0, max_value=1e11, help_text="终端时间，unix 秒")
    disk_free_mb = serializers.IntegerField(
        min_value=0, max_value=LARGEST, required=False, help_text="磁盘剩余，MB"
    )
    uptime = serializers.IntegerField(
        min_value=0, max_value=LARGEST, required=False, help_text="程序已运行的秒数"
    )
    last_error = serializers.RegexField(
        r"^[A-Z_]{1,32}$", required=False, help_text="上次心跳以来最近的故障代码，不含任何文字说明"
    )


class SuspensionSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField()


@extend_schema_serializer(examples=[examples.PRESENCE, examples.PRESENCE_SUSPENDED])
class PresenceSerializer(serializers.Serializer[Any]):
    server_time = serializers.DateTimeField()
    clock_offset = serializers.FloatField(help_text="秒；正数表示终端偏快")
    notice_version = serializers.IntegerField(allow_null=True)
    suspension = SuspensionSerializer(required=False)
