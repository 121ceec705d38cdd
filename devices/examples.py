"""What the API description shows: synthetic values throughout."""

from drf_spectacular.utils import OpenApiExample

PUBLIC_KEY = (  # RFC 9421, B.1.3
    "-----BEGIN PUBLIC KEY-----\n"
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqIVYZVLCrPZHGHjP17CTW0/+D9Lf\n"
    "w0EkjqF7xB4FivAxzic30tMM4GF+hR6Dxh71Z50VGGdldkkDXZCnTNnoXQ==\n"
    "-----END PUBLIC KEY-----\n"
)
KEY_ID = "VfljYbeMu4Tx_GBLBxjoK9kau0bY_CWuhxs1-7-LeXQ"
TIME = "2026-01-05T09:30:00+08:00"

ACTIVATION = OpenApiExample(
    "激活",
    {
        "code": "7KQM-2XRT-9WHC",
        "public_key": PUBLIC_KEY,
        "model": "ABC-1",
        "sdk_version": "1.26",
        "agent_version": "1.0",
    },
)
ACTIVATED = OpenApiExample(
    "已激活",
    {
        "terminal": {
            "id": "019b8a4e-7d00-7000-8000-000000000001",
            "serial": "T-0001",
            "name": "门诊大厅 1 号机",
        },
        "key_id": KEY_ID,
        "store": {"code": "menzhen", "name": "门诊楼"},
        "server_time": TIME,
    },
)
KEY = OpenApiExample(
    "换密钥",
    {
        "public_key": PUBLIC_KEY,
        "proof": "6AwumY0z8AVUUzJ5rs6jduKxd1Wjm3RGxL+jgO1rL2+"
        "YirnhmEG7C2B2QD05BP7fgL6yN/utjiOBwtwaWW2xdA==",
    },
)
REGISTERED_KEY = OpenApiExample(
    "已登记", {"key_id": KEY_ID, "algorithm": "ecdsa-p256-sha256", "created_at": TIME}
)
HEARTBEAT = OpenApiExample(
    "心跳",
    {
        "agent_version": "1.0",
        "sdk_version": "1.26",
        "os": "Windows 10",
        "camera": "ready",
        "clock": 1767576600.25,
        "disk_free_mb": 20480,
        "uptime": 86400,
        "last_error": "NETWORK_MISSING",
    },
)
PRESENCE = OpenApiExample("在线", {"server_time": TIME, "clock_offset": 0.25, "notice_version": 3})
PRESENCE_SUSPENDED = OpenApiExample(
    "已停用",
    {
        "server_time": TIME,
        "clock_offset": 0.25,
        "notice_version": 3,
        "suspension": {"reason": "设备检修"},
    },
)
