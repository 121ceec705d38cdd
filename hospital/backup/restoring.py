"""
Putting a backup back: beside what is there, examined and with erasures done again, and only then
in its place.

What is served stays as it was until the last moment, and for the length of two renamings there is
nothing to serve. Killed at any moment, run again: it begins anew, or ends.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.db import DatabaseError, connections
from django.db.migrations.loader import MigrationLoader
from pyrage import x25519

from hospital.audit import restores
from hospital.audit.holding import LockFile, alone
from hospital.audit.proposals import Proposal
from hospital.backup import finishing, identities, opening, receipts
from hospital.backup.engines import Ground, Trouble, grounds
from hospital.backup.receipts import Receipt

SCRATCH: Final = "_restoring"
_BEFORE: Final = "_before_"

Told = Callable[[str], object]


class Refused(Exception):
    """It is not put back, and nothing has changed; the text says why, in Chinese."""


class AtWork(Refused):
    """Another process is at it."""


@dataclass(frozen=True)
class Source:
    """A backup, the files of which were compared with its receipt, and who opens it."""

    directory: Path
    receipt: Receipt
    keys_from: Receipt  # whose file of keys is taken, where keys are apart
    pair: tuple[x25519.Identity, x25519.Identity]

    def receipt_of(self, kind: str) -> Receipt:
        return self.keys_from if kind == "keys" else self.receipt

    @property
    def facts(self) -> dict[str, str]:
        """What the trail states of it: which, and whose keys opened it."""
        first, second = map(identities.public, self.pair)
        return {
            "backup": self.receipt.id,
            "digest": self.receipt.digest,
            "first": first,
            "second": second,
        }


def source(path: Path, keys: Sequence[x25519.Identity], *, keys_from: Path | None = None) -> Source:
    """
    Return the backup of this receipt, once every byte of it was compared.

    :param keys_from: the receipt of a later one, for its keys
    :raises Forged, Damaged, NotTwo, Refused, OSError:
    """
    receipt = receipts.read(path)
    other = receipts.read(keys_from) if keys_from else receipt
    if other.made_at < receipt.made_at:
        raise Refused("密钥备份早于数据备份：其后登记的患者会打不开，请用同时或更晚的")
    for one in {receipt.id: receipt, other.id: other}.values():
        wanted = one.files if one is receipt else {"keys": one.files.get("keys")}
        if missing := [kind for kind in wanted if not _is_kept(one, kind, path.parent)]:
            if missing == ["keys"] and one is receipt and other is not receipt:
                continue
            raise Refused(
                f"备份 {one.id} 的文件不全（{'、'.join(missing)}）：可能已到期删除；"
                "只缺密钥文件的，用 --keys-from 给出更晚的一份"
            )
    there = {kind: one for kind, one in receipt.files.items() if (path.parent / one.name).exists()}
    receipts.demand_whole(receipt, path.parent, only=there)
    if other is not receipt:
        receipts.demand_whole(other, path.parent, only={"keys"})
    return Source(path.parent, receipt, other, opening.pair(receipt, keys))


def restore(one: Source, *, replace: bool, at: datetime, told: Told) -> dict[str, Any]:
    """
    Put it back; return what was found on the way, and where what was there before is now.

    :param replace: also where there is something: two people approved that
    :raises Refused: and nothing has changed
    :raises Trouble, Damaged, OSError: what is served has not changed; run it again
    """
    lock = LockFile(settings.VAR_DIR / "restore.lock")
    with alone(lock, refusal=AtWork("另一个恢复正在进行")):
        ours = grounds()
        approved = _demand_place(one, ours, replace=replace, at=at)
        manifests = examined(one, ours, told=told)
        found = loaded(one, ours, manifests, SCRATCH, told=told, note=_noted(one, approved))
        before = _swap(ours, f"{_BEFORE}{at:%Y%m%d%H%M%S}", told=told)
    return {**found, "before": before}


def examined(one: Source, ours: Mapping[str, Ground], *, told: Told) -> dict[str, dict[str, Any]]:
    """
    Read all of it to the end, before anything is made; return what it says it is.

    :raises Refused: it does not belong here
    :raises WrongIdentity, Damaged:
    """
    if ours.keys() != one.receipt.files.keys():
        raise Refused(
            "备份和本系统的数据库不对应：一方的密钥表单独存放（KEYS_DATABASE_URL），另一方没有"
        )
    manifests = {}
    for kind, ground in ours.items():
        told(f"核对 {one.receipt_of(kind).files[kind].name}")
        manifest = opening.manifest_of(one.receipt_of(kind), kind, one.directory, one.pair)
        engine = settings.DATABASES[ground.alias]["ENGINE"].rpartition(".")[2]
        if manifest["engine"] != engine:
            raise Refused(f"备份来自 {manifest['engine']}，本系统的数据库是 {engine}")
        ground.demand_takes(manifest["server"])
        manifests[kind] = manifest
    _demand_known(manifests)
    return manifests


def loaded(
    one: Source,
    ours: Mapping[str, Ground],
    manifests: Mapping[str, Any],
    suffix: str,
    *,
    note: Mapping[str, Any],
    told: Told,
) -> dict[str, Any]:
    """
    Load it beside what is served, and make it fit to serve; return what was found on the way.

    Where that does not come to an end, or somebody breaks it off, what was loaded is removed.

    :raises AtWork: what a run that was killed had started has not ended yet
    :raises Trouble, Damaged, OSError:
    """
    if not finishing.is_idle():
        raise AtWork("上一次恢复留下的进程还没有结束，请稍候")
    try:
        for kind, ground in ours.items():
            name = f"{ground.name}{suffix}"
            told(f"载入 {name}")
            ground.make(name)
            opening.manifest_of(
                one.receipt_of(kind),
                kind,
                one.directory,
                one.pair,
                into=lambda ground=ground, name=name: ground.loading(name),  # type: ignore[misc]
            )
        return finishing.finish(ours, suffix, manifests=manifests, note=note, told=told)
    except BaseException:  # Ctrl-C too: half a hospital in the clear is nobody's to keep
        removed(ours, suffix)
        raise


def removed(ours: Mapping[str, Ground], suffix: str) -> None:
    for ground in ours.values():
        ground.drop(f"{ground.name}{suffix}")


def _is_kept(receipt: Receipt, kind: str, directory: Path) -> bool:
    return kind in receipt.files and (directory / receipt.files[kind].name).exists()


def _demand_place(
    one: Source, ours: Mapping[str, Ground], *, replace: bool, at: datetime
) -> Proposal | None:
    """
    Demand that there is nothing to lose, or that two people approved that it goes.

    :raises Refused:
    """
    for ground in ours.values():
        ground.demand_tools()
        if ground.is_there(ground.name) and (count := ground.others(ground.name)):
            raise Refused(
                f"还有 {count} 个连接在用 {ground.name}：先停止网页、工作、定时、签名和外发进程"
            )
    if ours["data"].is_empty(ours["data"].name):
        return None
    if not replace:
        raise Refused(
            "数据库里已有账号或患者，不恢复。确要替换：先由两个人在后台“双人审批”批准恢复此备份，"
            "再加 --replace 运行；原来的数据库改名保留"
        )
    try:
        return restores.approved(one.receipt.id, one.receipt.digest, at=at)
    except restores.NotApproved as exc:
        raise Refused(f"{exc}") from None
    except DatabaseError:
        raise Refused("现有数据库读不出批准，不能替换：请由数据库管理员将其改名后再恢复") from None


def _noted(one: Source, approved: Proposal | None) -> dict[str, str]:
    if approved is None:
        return one.facts
    return {
        **one.facts,
        "proposal": str(approved.pk),
        "asked_by": str(approved.asked_by),
        "approved_by": str(approved.decided_by),
    }


def _demand_known(manifests: Mapping[str, Any]) -> None:
    known = {
        ".".join(key) for key in MigrationLoader(None, ignore_no_migrations=True).disk_migrations
    }
    newer = {name for one in manifests.values() for name in one["migrations"]} - known
    ours = {name for name in newer if name.partition(".")[0] in _apps(known)}
    if ours:
        raise Refused(
            f"备份来自更新的版本（{'、'.join(sorted(ours)[:3])}）：请先安装同版或更新的程序"
        )


def _apps(known: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in known}


def _swap(ours: Mapping[str, Ground], ending: str, *, told: Told) -> dict[str, str]:
    """
    Put the new ones in the place of the old; return what these are called now.

    The patients go first and come last: in between nobody is served.

    :raises Trouble: somebody is connected
    """
    connections.close_all()  # ours: to a file that is moved they would still write
    before = {}
    for kind, ground in ours.items():
        if ground.is_there(ground.name):
            before[kind] = f"{ground.name}{ending}"
            ground.rename(ground.name, before[kind])
    for ground in reversed(list(ours.values())):
        ground.rename(f"{ground.name}{SCRATCH}", ground.name)
        told(f"就位 {ground.name}")
    return before


__all__ = ["AtWork", "Refused", "Source", "Trouble", "restore", "source"]
