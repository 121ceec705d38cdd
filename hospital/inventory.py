"""
Every personal field there is: what it is, why it is held, how sensitive, how long, who gets it.

One table (个人信息保护法 第五、六条): labels, the privacy page, the draft of the notice and the
evidence are made from it, and a check refuses a column that is neither here nor said to be
nobody's (`hospital.impersonal`).
"""

from dataclasses import dataclass
from typing import Final

from hospital.sensitivity import Label


@dataclass(frozen=True)
class Item:
    """
    One column.

    :param field: `app.model.field`, as Django writes it in lower case
    :param kind: what people call it; what is called the same is one line for a reader
    :param terms: keys of `hospital.categories`, or of `WITHOUT_RULE`
    :param recipients: who is given it, besides the hospital itself
    """

    field: str
    whose: str
    kind: str
    purpose: str
    basis: str
    label: Label
    terms: tuple[str, ...]
    recipients: tuple[str, ...] = ()


# What is kept as long as something else, with no rule of its own.
WITHOUT_RULE: Final = {
    "account": "账号存续期间；停用后保留工号对应关系，供查明留痕中的行为人",
    "account_history": "只留最近几个历史密码的摘要，随账号保留",
    "login_session": "会话结束或到期即删，最长 12 小时",
    "login_failure": "登录失败统计时间过后清除",
    "erasure": "长期保存：恢复备份后须重做删除；只有编号",
    "notice": "长期保存：同意记录所依据的文本",
}
# Categories of what holds nothing of anybody: only numbers.
IMPERSONAL_CATEGORIES: Final = {"retention_run": "privacy.retentionrun：只有各类别的数量"}

PATIENT, GUARDIAN, STAFF = "患者", "监护人", "工作人员"
_L2, _L3, _L4 = Label.INTERNAL, Label.SENSITIVE, Label.IDENTIFYING
_CONSENT: Final = "本人单独同意（个人信息保护法 第十三、二十九条）"
_IDENTIFIED: Final = (
    "刷脸取得：本人单独同意（个人信息保护法 第十三、二十九条）；"
    "人工建档和撤回同意后留存：履行法定义务（第十三条）"
)
_GUARDIAN: Final = "监护人同意（个人信息保护法 第三十一条）"
_LAW: Final = "履行法定义务（个人信息保护法 第十三条）"
_DUTY: Final = "岗位职责（个人信息保护法 第十三条、第五十一条）"
HIS: Final = "本院医院信息系统（HIS）"
_HIS: Final = (HIS,)
_IDENTITY: Final = ("identity", "identity_after_his")


def _of(  # noqa: PLR0917 (a line of the table below, read from left to right)
    whose: str, kind: str, purpose: str, basis: str, label: Label, terms: tuple[str, ...],
    *fields: str, recipients: tuple[str, ...] = (),
) -> list[Item]:  # fmt: skip
    return [Item(field, whose, kind, purpose, basis, label, terms, recipients) for field in fields]


# fmt: off
INVENTORY: Final[tuple[Item, ...]] = (
    # Who the patient is
    *_of(PATIENT, "姓名", "建立和识别就诊档案", _IDENTIFIED, _L4, _IDENTITY,
         "patients.patient.real_name", recipients=_HIS),
    *_of(PATIENT, "证件类型和号码", "建立和识别就诊档案，防止重复建档", _IDENTIFIED, _L4, _IDENTITY,
         "patients.patient.document_number", recipients=_HIS),
    *_of(PATIENT, "证件类型和号码", "建立和识别就诊档案，防止重复建档", _IDENTIFIED, _L3, _IDENTITY,
         "patients.patient.document_index", "patients.patient.document_index_b",
         "patients.patient.document_type"),
    *_of(PATIENT, "出生日期", "核对是否同一人，判断是否须监护人同意", _IDENTIFIED, _L4, _IDENTITY,
         "patients.patient.birth_date", recipients=_HIS),
    *_of(PATIENT, "出生日期", "核对是否同一人，判断是否须监护人同意", _IDENTIFIED, _L3, _IDENTITY,
         "patients.patient.name_birth_index", "patients.patient.name_birth_index_b"),
    *_of(PATIENT, "患者编号", "在院内称呼一份档案而不用姓名", _IDENTIFIED, _L3, ("identity",),
         "patients.patient.number", recipients=_HIS),
    *_of(PATIENT, "HIS 患者编号", "与医院信息系统的档案对应", _IDENTIFIED, _L3, ("identity",),
         "patients.handoff.his_patient_id", recipients=_HIS),
    *_of(PATIENT, "建档和就诊时间", "计算保存期限", _LAW, _L3, ("identity",),
         "patients.patient.created_at", "patients.patient.last_visit_at",
         "patients.identification.evidence", "patients.identification.by"),
    # WeChat's account
    *_of(PATIENT, "微信账号编号（OpenID、UnionID）", "复诊时识别，不必再次提供姓名和证件", _CONSENT,
         _L3, ("wechat_account",),
         "patients.wechataccount.openid", "patients.wechataccount.openid_index",
         "patients.wechataccount.openid_index_b", "patients.wechatunion.union_id",
         "patients.wechatunion.union_id_index", "patients.wechatunion.union_id_index_b"),
    *_of(PATIENT, "近期不同意的标记（微信账号的摘要）", "不同意之后三十天内不再询问",
         "网络数据安全管理条例 第二十二条", _L3, ("declining",), "faceauth.declining.openid_index",
         "faceauth.facesession.openid_indexes"),
    # A visit
    *_of(PATIENT, "人脸凭证（face_sid，不是人脸图像）", "向微信查询本次核验的结果", _CONSENT, _L3,
         ("face_sid", "session"), "faceauth.facesession.face_sid",
         "faceauth.facesession.face_sid_index", recipients=("微信支付（财付通）",)),
    *_of(PATIENT, "微信加密应答", "建档完成前不丢失核验结果", _CONSENT, _L4, ("answer",),
         "faceauth.facesession.answer"),
    *_of(PATIENT, "刷脸会话", "处理中断和失败的建档，查明经过", _CONSENT, _L3, ("session",),
         "faceauth.facesession.reason", "faceauth.facesession.taken_by"),
    *_of(PATIENT, "终端应答（脱敏姓名）", "网络中断重发时给出同一答复", _CONSENT, _L3,
         ("stored_answer",), "devices.storedanswer.body"),
    # What people at the desk write
    *_of(PATIENT, "人工登记、更正的内容", "不刷脸也能建档；改正错误", _LAW, _L4, ("draft",),
         "patients.registration.real_name", "patients.registration.document_number",
         "patients.registration.birth_date", "patients.correction.real_name",
         "patients.correction.document_number", "patients.correction.birth_date"),
    *_of(PATIENT, "人工登记、更正的经过", "证明由谁凭什么办理", _LAW, _L3, ("registration",),
         "patients.registration.document_type", "patients.registration.evidence",
         "patients.registration.note", "patients.correction.document_type",
         "patients.correction.evidence", "patients.correction.reason"),
    *_of(GUARDIAN, "监护人姓名和证件号码", "证明不满十四周岁患者的监护人同意", _GUARDIAN, _L4,
         ("identity",), "patients.guardian.real_name", "patients.guardian.document_number"),
    *_of(GUARDIAN, "监护人姓名和证件号码", "证明不满十四周岁患者的监护人同意", _GUARDIAN, _L3,
         ("identity",), "patients.guardian.document_type", "patients.guardian.evidence",
         "patients.guardian.relation"),
    # What proves that it was lawful
    *_of(PATIENT, "同意、不同意、撤回记录", "证明告知和单独同意", _LAW, _L3, ("consent",),
         "faceauth.consent.purposes", "faceauth.consent.patient", "faceauth.consent.guardian",
         "patients.patient.consent_withdrawn_at"),
    *_of(PATIENT, "权利请求", "受理和答复查阅、复制、更正、删除等请求", _LAW, _L3, ("rights",),
         "privacy.rightsrequest.patient", "privacy.rightsrequest.evidence",
         "privacy.rightsrequest.note"),
    *_of(PATIENT, "个人信息副本", "交付本人申请的副本", _LAW, _L4, ("rights_copy",),
         "privacy.rightscopy.packed", recipients=("患者本人",)),
    *_of(PATIENT, "删除记录（编号）", "证明已删除；恢复备份后重做", _LAW, _L2, ("erasure",),
         "privacy.erasure.subject", "privacy.erasure.touched", "privacy.erasure.keys"),
    *_of(PATIENT, "对外提供记录（编号）", "记录向谁提供了什么", _LAW, _L3, ("disclosure",),
         "privacy.disclosure.subject", "privacy.disclosure.fields",
         "privacy.disclosure.reference"),
    *_of(PATIENT, "依法保全", "争议和调查期间不删除", _LAW, _L3, ("hold",),
         "privacy.legalhold.patient"),
    *_of(PATIENT, "安全事件情况", "处置和报告安全事件", _LAW, _L3, ("incident",),
         "privacy.incident.summary", "privacy.incident.conclusion"),
    # People of the hospital
    *_of(STAFF, "工号、显示名、人员编号", "一人一号，查明谁做了什么", _DUTY, _L2, ("account",),
         "accounts.staff.username", "accounts.staff.display_name", "accounts.staff.person_id"),
    *_of(STAFF, "登录凭据（摘要或密文）", "核实登录的是本人", _DUTY, _L4, ("account",),
         "accounts.staff.password", "mfa.authenticator.data", "accounts.factorseal.factor_key"),
    *_of(STAFF, "登录凭据（摘要或密文）", "核实登录的是本人", _DUTY, _L4, ("account_history",),
         "accounts.usedpassword.password"),
    *_of(STAFF, "登录会话", "保持登录", _DUTY, _L3, ("login_session",),
         "sessions.session.session_data"),
    *_of(STAFF, "登录失败的工号、来源地址和浏览器", "限制登录失败次数", _LAW, _L2,
         ("login_failure",),
         *(f"axes.{model}.{field}" for model in ("accessattempt", "accessfailurelog", "accesslog")
           for field in ("username", "ip_address", "user_agent", "http_accept"))),
    *_of(STAFF, "查看明文的时间", "查看次数限额", _DUTY, _L2, ("reveal",), "patients.reveal.staff"),
    *_of(STAFF, "应急使用的事由和结论", "两人批准和事后复核", _DUTY, _L2, ("account",),
         "accounts.emergency.reason", "accounts.emergency.conclusion"),
    *_of(STAFF, "申请、审批的内容和理由", "两人办理重大操作", _DUTY, _L2, ("trail",),
         "audit.proposal.facts", "audit.proposal.reason", "audit.export.reason",
         "audit.finding.note", "audit.review.conclusion", "devices.suspension.reason"),
    *_of(STAFF, "影响评估的批准人", "证明事前评估", _LAW, _L2, ("assessment",),
         "privacy.assessment.approved_by"),
    *_of(STAFF, "留痕（行为人、来源地址；对象只有编号）", "查明谁在何时做了什么", _LAW, _L3,
         ("trail",),
         "audit.event.payload", "audit.event.actor_id", "audit.event.object_id",
         "audit.finding.facts", "audit.export.filters"),
    *_of(STAFF, "留痕导出", "由他人核验留痕", _LAW, _L3, ("trail_copy",),
         "audit.exportpart.content"),
    *_of(STAFF, "终端请求", "维修终端", _DUTY, _L2, ("request_log",),
         "devices.terminalrequest.terminal"),
)
# fmt: on
