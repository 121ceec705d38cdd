"""
The draft of the consent notice, from the inventory: what a hospital's own lawyer begins with.

It says what 个人信息保护法 第十七、三十条 and 人脸识别技术应用安全管理办法 第五条 ask for. What a
patient reads is what the privacy officer saved and two people put in force, not this.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hospital.inventory import INVENTORY, PATIENT

TITLE: Final = "刷脸建档告知书"
FALLBACK: Final = "不刷脸也能就诊：请到人工窗口凭身份证件建档"
PURPOSES: Final = (
    {"code": "face_identification", "label": "通过微信刷脸核验我的身份", "required": True},
    {"code": "onboarding", "label": "用我的姓名和证件号码建立就诊档案", "required": True},
)
# What somebody agrees to at the camera, in the order it is told.
_ASKED: Final = ("姓名", "证件类型和号码", "出生日期", "微信账号编号（OpenID、UnionID）")

_TEXT: Final = """\
{hospital}（个人信息处理者，{reach}）为给您建立就诊档案，将通过微信支付核验您的身份。

您的面部图像由微信支付（财付通支付科技有限公司）在本机采集并传送至微信比对，仅用于核验是不是您本人；\
我院不接收、不保存面部图像和特征。摄像头只在您同意之后启动。

经您在微信页面确认后，微信将您的姓名和证件号码加密提供给我院。我院处理：{kinds}，\
用于建立和识别您的就诊档案，加密保存{handed_on}，不提供给其他人。

没有这些信息无法建立实名档案。它们属于敏感个人信息，一旦泄露或者被非法使用，\
可能使您的人格尊严和人身、财产安全受到侵害。

保存期限：姓名和证件号码自最后一次就诊起 {identity}{after_his}；\
微信账号编号自最后一次识别起 {wechat}；人脸凭证用毕即删，最长 {face_sid}；同意记录 {consent}。

您可以不同意，不影响就诊：请到人工窗口凭身份证件建档。\
同意后也可随时到窗口查阅、复制、更正、撤回同意或者申请删除，不收费用。\
不满十四周岁的，请由监护人到窗口办理。
"""


@dataclass(frozen=True)
class Draft:
    title: str
    text: str
    purposes: list[dict[str, object]]
    fallback: str


def draft(*, hospital: str, contact: str, period: Callable[[str], str], has_his: bool) -> Draft:
    """
    Return the notice as it would be written today.

    :param contact: how the privacy officer is reached; "" where nobody said
    :param period: category → how long it is kept, as `15 年`
    :param has_his: whether anything is handed to the hospital's own system
    """
    kinds = {item.kind for item in INVENTORY if item.whose == PATIENT}
    told = [kind for kind in _ASKED if kind in kinds]
    after_his = f"（HIS 确认接收后 {period('identity_after_his')}内改由 HIS 保存）"
    text = _TEXT.format(
        hospital=hospital,
        reach=f"联系方式：{contact}" if contact else "联系方式见人工窗口",
        kinds="、".join(told),
        identity=period("identity"),
        handed_on="，移交本院医院信息系统（HIS）" if has_his else "",
        after_his=after_his if has_his else "",
        wechat=period("wechat_account"),
        face_sid=period("face_sid"),
        consent=period("consent"),
    )
    return Draft(TITLE, text, [dict(one) for one in PURPOSES], FALLBACK)
