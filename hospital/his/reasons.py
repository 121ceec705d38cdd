"""Why a patient has not reached the hospital's own system, and what somebody at the desk can do."""

from typing import Final, NamedTuple


class Told(NamedTuple):
    why: str
    advice: str


_NETWORK: Final = "等待即可，系统会自动重试；持续不恢复请告知系统管理员"
_OURS: Final = "请告知系统管理员检查 HIS 接口的配置，恢复后再重新移交"
_AT_HIS: Final = "请 HIS 管理员核对该患者，处理后再重新移交"

_BY_CODE: Final[dict[str, Told]] = {
    "unreachable": Told("连不上 HIS", _NETWORK),
    "timeout": Told("HIS 超时没有应答", _NETWORK),
    "network": Told("与 HIS 的连接中断", _NETWORK),
    "busy": Told("HIS 正忙", _NETWORK),
    "http_429": Told("HIS 要求稍后再发", _NETWORK),
    "http_5xx": Told("HIS 出现故障", _NETWORK),
    "written_between": Told("HIS 正在修改该患者", "等待即可，系统会自动重试"),
    "keys": Told("密钥服务暂时不可用", "等待即可；持续不恢复请告知安全管理员"),
    "credential": Told("HIS 不接受接口凭证", _OURS),
    "address": Told("HIS 接口地址有误", _OURS),
    "redirected": Told("HIS 接口地址有误（被转到别处）", _OURS),
    "egress": Told("HIS 地址不在外联白名单，没有发送", _OURS),
    "untrusted": Told("HIS 的证书不可信，没有发送", _OURS),
    "ca_file": Told("HIS 的证书文件无法读取", _OURS),
    "malformed": Told("HIS 的应答不符合 FHIR R4", _OURS),
    "too_large": Told("HIS 的应答过大", _OURS),
    "not_unique": Told("HIS 中有多份档案使用同一患者编号", "请 HIS 管理员合并后再重新移交"),
    "merged": Told("HIS 已把该患者并入另一份档案", "请在 HIS 中核对并更正，不必重新移交"),
    "gone": Told("HIS 中已没有该患者的档案", _AT_HIS),
    "another": Told("HIS 中的档案不再使用该患者编号", _AT_HIS),
    "invalid": Told("HIS 认为内容不合格", _AT_HIS),
    "unfit": Told("姓名等内容无法按 FHIR 表示", "请核对身份信息，需要时申请更正"),
    "unreadable": Told("档案无法打开", "请告诉安全管理员"),
    "thinned": Told("本系统已按期限删除姓名和证件号码", "请直接在 HIS 中更正，不必重新移交"),
    "attempts_exhausted": Told("多次尝试没有结果", "请告知系统管理员，恢复后再重新移交"),
    "patient_restricted": Told("该患者的信息已限制处理", "解除限制后自动移交"),
    "consent_withdrawn": Told(
        "患者已撤回同意，已停止移交", "本人再次同意或在人工窗口核验证件后，可以重新移交"
    ),
    "erasure": Told("该患者的信息即将依法删除", "不必处理"),
}


def told(code: str) -> Told:
    """Return why, in words; a code nobody foresaw is quoted."""
    if not code:
        return Told("等待发送", "后台没有处理，请告知系统管理员")
    return _BY_CODE.get(code) or Told(f"HIS 没有接受（{code}）", _AT_HIS)
