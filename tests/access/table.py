"""角色 × 页面 × 操作, as a table for people: generated, committed, and compared by a test."""

from collections.abc import Iterator
from itertools import groupby
from typing import Final

from hospital.roles import GRANTS, SEALED, Role
from tests.access import walking
from tests.access.walking import METHODS, Page, outcome
from tests.access.world import ELSEWHERE, World, model_of

_OTHERS: Final = "其他"
_TITLES: Final = {"desk": "登记台", "account": "登录与第二步验证", "api": "终端接口"}
_HEAD: Final = """\
# 谁能打开哪一页

本表由 `make access` 生成：按系统的全部地址逐一实际请求得到，测试核对，不手工修改。

每格两个符号，先“查看”（GET），后“提交”（POST，不带内容）：

| 符号 | 含义 |
|---|---|
| ✓ | 可以进入（提交：可以办理，内容另行校验） |
| ✕ | 没有权限，并留痕 |
| ○ | 对此人不存在 |
| · | 没有这种操作 |
| → | 转到别的页，此页没有内容 |
| 登 | 须先登录 |
| 绑 | 须先绑定第二步验证方式 |
| 验 | 须当场再验证一次身份 |
| 拒 | 内容不符合要求，没有办理 |

“仅密码”是只输了密码、还没有第二步验证的登记员；“应急”是启用中的应急账号；“厂商”是限期的厂商人员。
“他院区”一行的对象属于另一院区。角色的权限见下一节，逐页的结果在其后。
"""


def table(world: World) -> str:
    """Return the whole document."""
    return "\n".join([_HEAD, *_rights(), *_walked(world)])


def _rights() -> Iterator[str]:
    yield "## 权限\n"
    roles = [*Role]
    yield _row("权限", *(role.label for role in roles))
    yield _row(*["---"] * (len(roles) + 1))
    held = dict.fromkeys(right for role in roles for right in GRANTS[role])
    for right in sorted(held, key=lambda one: [*type(one)].index(one)):
        yield _row(right.value, *("✓" if right in GRANTS[role] else "" for role in roles))
    sealed = "、".join(role.label for role in SEALED)
    yield f"\n{sealed}不授予任何人，由两人批准后启用一小时。\n"


def _walked(world: World) -> Iterator[str]:
    everything = sorted(walking.pages(), key=_section)
    for section, some in groupby(everything, key=_section):
        yield f"## {section[1]}\n"
        yield _row("页面", *world.people)
        yield _row(*["---"] * (len(world.people) + 1))
        for page in some:
            for campus in walking.campuses(page, world):
                note = "（他院区）" if campus == ELSEWHERE else ""
                cells = (_cell(page, world, name, campus) for name in world.people)
                yield _row(f"`{page.plain}`{note}", *cells)
        yield ""


def _cell(page: Page, world: World, name: str, campus: str) -> str:
    person = world.people[name]
    answers = (walking.asked(page, method, person, world, campus) for method in METHODS)
    return " ".join(outcome(page, answer).value for answer in answers)


def _section(page: Page) -> tuple[int, str]:
    if page.namespace in _TITLES:
        return [*_TITLES].index(page.namespace), _TITLES[page.namespace]
    if page.route.startswith("api/"):
        return len(_TITLES) + 1, _TITLES["api"]
    if (model := model_of(page.namespace, page.name, page.route)) is not None:
        return len(_TITLES), str(model._meta.verbose_name)
    return len(_TITLES) + 2, _OTHERS


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
