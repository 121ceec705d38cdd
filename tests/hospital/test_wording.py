"""What this product does not claim, wherever people read about it."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# What must not be said, and in which words it may stand all the same: denied.
FORBIDDEN = (
    r"通过等保三级",
    r"等保三级认证",
    r"符合等保三级",
    r"满足等保三级",
    r"日志不可篡改",
    r"审计不可篡改",
    r"留痕不可篡改",
    r"国密认证",
    r"通过密评",
    r"符合密评",
    r"符合国密",
    r"硬件加密",
    r"硬件级密钥保护",
    r"使用经认证的密码产品",
    r"不处理人脸信息",
    r"彻底删除所有副本",
    r"立即彻底删除",
    r"备份也不能",
    r"from every backup",
    r"绝对安全",
    r"certified (?:for )?等保",
    r"tamper[- ]proof",
    r"passes? 密评",
)
DENIED = re.compile(
    r"(?:不等于|不得|不是|不能|不构成|并非|没有|not|nothing|never|nobody|no|neither)[^。.；;\n]{0,80}$",
    re.IGNORECASE,
)
LESSON = re.compile(r"\| may \| must not \|.*?(?:\n\n|\Z)", re.DOTALL)  # a table that teaches this
READ = [
    *(ROOT / "templates").rglob("*.html"),
    *(ROOT / "docs").rglob("*.md"),
    *ROOT.glob("README*.md"),
    *(ROOT / "hospital").rglob("*.py"),
    *(ROOT / "faceauth").rglob("*.py"),
    *(ROOT / "devices").rglob("*.py"),
]


def claims(text):
    """Return what is claimed there that must not be."""
    flat = re.sub(r"\s+", " ", LESSON.sub("", text))
    return [
        match[0]
        for phrase in FORBIDDEN
        for match in re.finditer(phrase, flat, re.IGNORECASE)
        if not DENIED.search(flat[: match.start()][-100:])
    ]


def test_nobody_is_promised_what_only_others_can_give():
    found = {str(path.relative_to(ROOT)): claims(path.read_text()) for path in READ}

    assert {path: said for path, said in found.items() if said} == {}


@pytest.mark.parametrize(
    "said",
    [
        "本产品通过等保三级。",
        "采用国密认证的算法",
        "日志不可篡改",
        "销毁密钥，任何人都打不开，备份也不能。",
        "It is tamper-proof.",
        "Whoever is erased is gone from every table and from every backup.",
    ],
)
def test_a_claim_is_found(said):
    assert claims(said)


@pytest.mark.parametrize(
    "said", ["软件保管，不等于通过密评", "does not by itself pass a 密评", "篡改可检测"]
)
def test_a_denial_is_none(said):
    assert not claims(said)


def test_without_the_denial_it_is_a_claim():
    assert claims("软件保管。通过密评")
