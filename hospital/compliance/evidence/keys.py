"""密码应用: which algorithms and keys, and what this does not prove."""

from django.apps import apps
from django.conf import settings

from hospital.compliance.evidence.files import Artefact, as_json, minute
from hospital.crypto import known_answers, standing
from hospital.crypto.records import sealed_fields

_SAYS = (
    "采用 SM4-GCM 或 AES-256-GCM 实现字段级机密性和完整性保护，算法实现通过标准测试向量自检。"
    "所用密码库不是商用密码产品，没有认证证书，密钥在进程内存中使用；本系统不等于通过密评，"
    "不构成对 GB/T 39786-2021 符合性的声明。根密钥由密码设备保管时，以该设备的认证证书为准，"
    "且只及于密钥不离开设备的操作。"
)


def made() -> Artefact:
    told = {
        "说明": _SAYS,
        "自检": _self_test(),
        "根密钥提供方": settings.KEY_PROVIDER,
        "新数据密钥的套件": settings.CRYPTO_SUITE,
        "密钥表单独存放": "keys" in settings.DATABASES,
        "主密钥": [
            {
                "代次": one.number,
                "套件": one.suite,
                "提供方": one.provider,
                "状态": one.state,
                "创建": minute(one.created_at),
            }
            for one in standing.epochs()
        ],
        "索引密钥": [
            {"索引": label, "版本": version, "状态": state}
            for label, version, state in standing.index_keys()
        ],
        "数据密钥": dict(zip(("使用中", "已销毁"), standing.data_keys(), strict=True)),
        "封存的字段": sorted(
            f"{model._meta.label_lower}.{field.name}"
            for model in apps.get_models()
            for field in sealed_fields(model)
        ),
    }
    return as_json("keys.json", "密码算法和密钥状态", told)


def _self_test() -> str:
    try:
        known_answers.self_test()
    except known_answers.SelfTestFailed as exc:
        return f"未通过：{exc}"
    return "通过"
