from typing import Any

from rest_framework import serializers

from devices.models import Terminal
from hospital.api import StrictSerializer


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


class ActivatedSerializer(serializers.Serializer[Any]):
    terminal = TerminalSerializer()
    key_id = serializers.CharField()
    store = StoreSerializer()
    server_time = serializers.DateTimeField()


class HeartbeatSerializer(StrictSerializer):
    agent_version = serializers.CharField(max_length=32)
    sdk_version = serializers.CharField(max_length=32)
    os = serializers.CharField(max_length=64, required=False)
    camera = serializers.ChoiceField(Terminal.Camera.values)
    clock = serializers.FloatField(min_value=0, max_value=1e11, help_text="终端时间，unix 秒")


class SuspensionSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField()


class PresenceSerializer(serializers.Serializer[Any]):
    server_time = serializers.DateTimeField()
    clock_offset = serializers.FloatField(help_text="秒；正数表示终端偏快")
    notice_version = serializers.IntegerField(allow_null=True)
    suspension = SuspensionSerializer(required=False)
