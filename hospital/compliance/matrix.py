"""
Clause → control → what is seen of it right now → what shows it.

Every state is looked up, never declared. What software cannot meet, or cannot see, is a
deployment's duty and is not counted as met.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hospital.compliance.duties import DUTIES
from hospital.compliance.looks import people, personal, records, running, sealing, wechat
from hospital.compliance.seen import Look, State, duty


@dataclass(frozen=True)
class Row:
    """
    One control.

    :param clause: as an assessor cites it
    :param controls: its ids in the catalogue this product is built by
    :param shown_by: tests that show it, and settings that make it so
    :param artefact: the file of the evidence that has the particulars; "" for the matrix itself
    :param is_slow: it reads whole tables, and is left to who collects evidence
    """

    clause: str
    controls: str
    name: str
    look: Look
    shown_by: str
    artefact: str = ""
    is_slow: bool = False


@dataclass(frozen=True)
class Finding:
    """A row, and what was seen of it."""

    row: Row
    state: State
    detail: str


def findings(*, at: datetime, thorough: bool = True) -> list[Finding]:
    """
    Look at every control.

    :param thorough: also at what reads whole tables
    """
    rows = [row for row in ROWS if thorough or not row.is_slow]
    once = {asked: asked(at) for asked in dict.fromkeys(row.look for row in rows)}
    return [Finding(row, once[row.look].state, once[row.look].detail) for row in rows]


def counts(found: list[Finding]) -> dict[State, int]:
    return {state: sum(one.state is state for one in found) for state in State}


def _duties() -> Iterator[Row]:
    for one in DUTIES:
        text = f"由{one.owner}负责；软件不能代替，也不能证明"
        yield Row(one.clause, "", one.what, lambda _at, text=text: duty(text), "", "")  # type: ignore[misc]


_L3: Final = "GB/T 22239-2019 "
_MP: Final = "GB/T 39786-2021 8.4 "
_PI: Final = "个人信息保护法 "
_FACE: Final = "人脸识别技术应用安全管理办法 "
_WX: Final = "微信刷脸实名认证接入条件 "
_T: Final = "tests/hospital/test_"

# fmt: off
ROWS: Final = (
    Row(_L3 + "三级", "", "上线检查", running.level, f"{_T}settings.py", "parameters.csv"),
    Row(_L3 + "8.1.4.1 a", "IA-01", "口令复杂度和定期更换", people.passwords,
        f"{_T}passwords.py、{_T}policy.py", "parameters.csv"),
    Row(_L3 + "8.1.4.1 a", "IA-02", "终端逐台鉴别", people.terminals_sign,
        "tests/devices/test_authentication.py"),
    Row(_L3 + "8.1.4.1 b", "IA-03、IA-04", "登录失败处理和超时退出", people.lockout,
        f"{_T}lockout.py、{_T}login_sessions.py", "parameters.csv"),
    Row(_L3 + "8.1.4.1 c", "IA-05", "远程管理加密", people.https,
        f"{_T}settings.py、{_T}headers.py"),
    Row(_L3 + "8.1.4.1 d", "IA-06", "双因素鉴别", people.second_factor,
        f"{_T}second_factor.py、{_T}half_logged_in.py", "accounts.csv"),
    Row(_L3 + "8.1.4.2 a、e", "AC-01、AC-05", "默认拒绝，逐页授权", people.denied_by_default,
        "tests/access/test_access.py", "roles.csv"),
    Row(_L3 + "8.1.4.2 b", "AC-02", "没有默认账户", people.no_default_accounts,
        f"{_T}bootstrap.py", "accounts.csv"),
    Row(_L3 + "8.1.4.2 c", "AC-03", "停用多余和过期账户", people.none_dormant,
        f"{_T}dormancy.py", "accounts.csv"),
    Row(_L3 + "8.1.4.2 d、8.1.5", "AC-04、MC-01…06", "三员分立", people.separation,
        f"{_T}roles.py、{_T}privilege.py", "roles.csv"),
    Row(_L3 + "8.1.5", "MC-01…06", "五个角色到位", people.staffed, f"{_T}granting.py",
        "accounts.csv"),
    Row(_L3 + "8.1.4.2 d", "", "应急账号受控", people.emergencies, f"{_T}emergencies.py",
        "parameters.csv"),
    Row(_L3 + "8.1.4.2 f、g", "AC-06、AC-07", "安全标记", people.clearance, f"{_T}clearance.py",
        "inventory.csv"),
    Row(_L3 + "8.1.8.4", "AC-03", "厂商人员限期限权", people.vendors, f"{_T}roles.py",
        "accounts.csv"),
    Row(_L3 + "8.1.4.3 a", "AU-01", "审计覆盖", records.covered,
        f"{_T}completeness.py、{_T}recorded_flows.py", "trail.json"),
    Row(_L3 + "8.1.4.3 b", "AU-02", "审计记录要素", records.whole, f"{_T}recording.py",
        "trail.json"),
    Row(_L3 + "8.1.4.3 c", "AU-03", "留痕只增不改，篡改可检测", records.guarded,
        f"{_T}guards.py、{_T}trail_attacks.py", "trail.json"),
    Row(_L3 + "8.1.4.3 c", "AU-04", "留痕夜间核验", records.verified, f"{_T}nightly.py",
        "trail.json"),
    Row(_L3 + "8.1.4.3 c", "AU-04", "留痕逐行校验", records.line_by_line,
        f"{_T}verification.py、{_T}trail_attacks.py", "trail.json", is_slow=True),
    Row(_L3 + "8.1.4.3 c", "AU-03", "留痕另有副本和锚点", records.witnessed,
        f"{_T}witness.py、{_T}timestamps.py", "trail.json"),
    Row(_L3 + "8.1.4.3 d", "AU-05", "没有留痕就没有操作", records.guarded,
        f"{_T}completeness.py、{_T}undone.py"),
    Row("网络安全法 第二十三条", "AU-03、RT-01", "留痕保存不少于六个月", records.kept,
        f"{_T}periods.py、{_T}keeping.py", "retention.csv"),
    Row(_L3 + "8.1.4.4 a", "IP-01", "最小安装", running.least_installed, "tests/level3.py",
        "sbom.json"),
    Row(_L3 + "8.1.4.4 c", "IP-03", "限制管理终端地址", running.networks, f"{_T}addresses.py"),
    Row(_L3 + "8.1.4.4 d", "IP-04", "输入有效性检验", running.bodies,
        "tests/faceauth/test_bad_input.py、tests/contracts/test_conformance.py"),
    Row(_L3 + "8.1.4.4 e", "IP-05", "漏洞发现和修补", running.dependencies, "",
        "dependency-audit.json"),
    Row(_L3 + "8.1.4.4 f、8.1.5.4 f", "IP-06", "入侵行为检测和告警", records.alarmed,
        f"{_T}alarms.py", "trail.json"),
    Row(_L3 + "8.1.4.7 a、8.1.4.8 a", "DI-01、DC-01", "到数据库的传输保护", running.database_apart,
        f"{_T}settings.py"),
    Row(_L3 + "8.1.4.7 a、8.1.4.8 a", "DI-01、DC-01", "到队列和缓存的传输保护",
        running.broker_and_cache,
        "tests/services/test_whole_path.py、tests/journeys/test_canary.py"),
    Row(_L3 + "8.1.4.7 b", "DI-02", "存储完整性", sealing.sealed,
        f"{_T}sealing_attacks.py、{_T}sealed_records.py", "keys.json"),
    Row(_L3 + "8.1.4.8 b", "DC-02、CR-02", "敏感信息封存", sealing.algorithms,
        f"{_T}sealing_vectors.py、{_T}suites.py、tests/journeys/test_canary.py", "keys.json"),
    Row(_L3 + "8.1.4.8 b", "DC-03", "口令只存摘要", sealing.passwords_hashed,
        f"{_T}passwords.py"),
    Row(_L3 + "8.1.4.9 a", "BR-01、RT-05", "备份恢复", running.backup,
        f"{_T}backup.py、tests/durability/test_backup_killed.py", "counts.json"),
    Row(_L3 + "8.1.4.10 b", "RI-01", "用毕即删", sealing.forgotten,
        "tests/faceauth/test_expiry.py、tests/journeys/test_canary.py", is_slow=True),
    Row(_L3 + "8.1.4.10 b", "RI-02", "删除即销毁密钥", sealing.destroyed, f"{_T}key_destruction.py",
        "keys.json", is_slow=True),
    Row(_L3 + "8.1.4.11 a", "PI-01", "只采集必需的个人信息", personal.inventory,
        f"{_T}inventory.py", "inventory.csv"),
    Row(_L3 + "8.1.4.11 b；高风险判定 6.4.7.2", "PI-02、EX-01", "没有名单导出", personal.no_export,
        "tests/access/test_access.py、tests/hospital/test_revealing.py", "roles.csv"),
    Row(_L3 + "8.1.5.4 c", "MC-07", "集中监测", running.monitored,
        f"{_T}metrics.py、{_T}health.py"),
    Row(_L3 + "8.1.5.4 d", "AU-06", "留痕外发集中审计", records.forwarded,
        f"{_T}forwarding.py、{_T}syslog.py", "trail.json"),
    Row(_MP + "a", "CR-01", "登录的密码技术", sealing.certified_login, f"{_T}second_factor.py",
        "keys.json"),
    Row(_MP + "d、f", "CR-01", "传输的密码技术", sealing.channel, "", "keys.json"),
    Row(_MP + "e、g；" + _L3 + "8.1.10.9", "CR-01、CR-03", "密钥的保管", sealing.root_key,
        f"{_T}providers.py、{_T}pkcs11.py、{_T}vault.py", "keys.json"),
    Row(_MP + "e", "CR-04", "密钥轮换", sealing.keys_rotated, f"{_T}rotation.py", "keys.json"),
    Row(_MP + "e", "CR-06", "密钥与数据分开", sealing.keys_apart, f"{_T}key_database.py",
        "keys.json"),
    Row(_MP + "h", "", "不可否认性", sealing.non_repudiation,
        f"{_T}countersigning.py", "trail.json"),
    Row(_PI + "第十七、三十条；网络数据安全管理条例 第二十一条", "PR-01", "告知处理规则",
        personal.notice, f"{_T}privacy_page.py", "privacy.html"),
    Row(_PI + "第十三、二十九条", "PR-02、PR-04", "先同意后刷脸", personal.consented,
        "tests/faceauth/test_sessions.py、tests/faceauth/test_consent.py", "consents.csv",
        is_slow=True),
    Row(_PI + "第三十一条", "PR-03", "未满十四周岁须监护人同意", personal.children,
        f"tests/faceauth/test_onboarding.py、{_T}guardians.py", "consents.csv"),
    Row(_PI + "第十五、四十七条", "PR-05、PR-07", "撤回和删除按期完成",
        personal.withdrawal, f"tests/faceauth/test_consent.py、{_T}erasing.py", "counts.json"),
    Row(_PI + "第四十七条；网络数据安全管理条例 第二十四条", "PR-07、RT-03", "依法保全和限制处理",
        personal.held, f"{_T}retention.py、{_T}erasing.py", "counts.json"),
    Row(_PI + "第十九条", "RT-01、RT-02", "到期清理", personal.swept,
        f"{_T}sweeping.py、tests/durability/test_sweep_killed.py", "retention.csv"),
    Row(_PI + "第四十四至四十六、五十条", "PR-06", "权利请求按期答复", personal.rights,
        f"{_T}rights.py、{_T}copying.py", "counts.json"),
    Row(_PI + "第五十二条", "", "处理人数和负责人", personal.many_people, f"{_T}scale.py",
        "counts.json"),
    Row(_PI + "第五十五、五十六条", "PR-08", "事前影响评估", personal.assessed,
        f"{_T}assessing.py", "counts.json"),
    Row(_PI + "第五十七条；国家网络安全事件报告管理办法 第四条", "IR-01", "安全事件报告和演练",
        personal.incidents, f"{_T}incidents.py", "counts.json"),
    Row("网络数据安全管理条例 第十二条", "PR-09", "对外提供有记录", personal.disclosed,
        f"{_T}disclosures.py、{_T}his.py", "counts.json", is_slow=True),
    Row(_PI + "第五十四条；网络数据安全管理条例 第二十七条", "PR-10", "定期合规审计",
        personal.collected, f"{_T}evidence.py", "manifest.json"),
    Row(_FACE + "第八条", "FA-01", "不接收、不保存面部图像", personal.no_faces,
        f"{_T}inventory.py", "inventory.csv"),
    Row(_FACE + "第十条", "FA-02", "不刷脸也能办", personal.another_way,
        f"{_T}registering.py", "privacy.html"),
    Row(_WX + "接入地址", "WX-01", "微信接入", wechat.official,
        "tests/faceauth/test_client.py", "wechat.html"),
    Row(_WX + "b", "WX-02", "实名信息不经过服务商", wechat.data_path,
        "tests/faceauth/test_signing.py、tests/faceauth/test_simulator_partner.py", "wechat.html"),
    Row(_WX + "密钥", "WX-03", "商户密钥只由工作进程打开", wechat.keys_of_worker,
        f"{_T}letterbox.py、{_T}boundaries.py", "wechat.html"),
    Row(_WX + "签名", "WX-05、WX-06", "请求签名、应答验签", wechat.signed,
        "tests/faceauth/test_v2.py、tests/faceauth/test_v3.py", "wechat.html"),
    Row(_WX + "证书", "WX-03", "商户证书齐全", wechat.certificate,
        "tests/faceauth/test_merchants.py", "wechat.html"),
    Row(_WX + "最小必要", "WX-04、WX-07、WX-08", "只查询必需的信息", wechat.minimal,
        "tests/contracts/test_openapi.py、tests/faceauth/test_v3.py", "wechat.html"),
    *_duties(),
)
# fmt: on
