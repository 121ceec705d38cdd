import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error
from django.utils import timezone

from hospital.audit import trail, verifying
from hospital.audit.checkpoint import BadNote, Note, Verifier
from hospital.audit.verdict import Verdict

FOUND, UNSETTLED = 1, 2  # exit codes
ALONE: Final = (
    "仅自洽（self-consistent only）：没有外部锚点可比对，"
    "末尾连同其签名一起被删除时发现不了（--anchor FILE）"
)


class Command(BaseCommand):
    help = "核验留痕：校验码、列、封存次序、散列树、签名、外部锚点；退出码 0 完好 1 异常 2 不能核验"
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--anchor", type=Path, action="append", default=[], metavar="FILE",
            help="库外保存的检查点（ANCHOR_FILE 的副本，可多个）",
        )  # fmt: skip
        parser.add_argument(
            "--verifiers",
            type=Path,
            metavar="FILE",
            help="公钥文件，一行一个；不写则用 TRAIL_VERIFIERS",
        )
        how = parser.add_mutually_exclusive_group()
        how.add_argument("--full", action="store_true", help="从头核验（默认）")
        how.add_argument("--incremental", action="store_true", help="从上次核验到的地方继续")
        parser.add_argument("--json", action="store_true", help="输出 JSON，供机器读取")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            verifiers = _verifiers(options["verifiers"])
            anchors, unreadable = _anchors(options["anchor"], verifiers)
            verdict = verifying.verify(
                at=timezone.now(),
                verifiers=verifiers,
                anchors=anchors,
                is_full=not options["incremental"],
                told=self._progress,
            )
        except (trail.NotConfigured, BadNote) as exc:
            raise CommandError(f"不能核验：{exc}", returncode=UNSETTLED) from None
        except OSError as exc:
            raise CommandError(
                f"不能核验：{exc.filename} 无法读取：{exc.strerror}", returncode=UNSETTLED
            ) from None
        except Error as exc:
            raise CommandError(
                f"不能核验：数据库出错（{type(exc).__name__}）", returncode=UNSETTLED
            ) from None
        if options["json"]:
            self.stdout.write(_json(verdict, unreadable))
        else:
            self._show(verdict, unreadable)
        if verdict.count:
            raise CommandError(f"留痕有 {verdict.count:,} 处异常", returncode=FOUND)
        if verdict.unsettled:
            raise CommandError("不能完全核验，原因见上", returncode=UNSETTLED)

    def _progress(self, done: int, total: int) -> None:
        if self.stderr.isatty():
            share = f"{done:,} / {total:,}"
            self.stderr.write(f"\r\x1b[K核验 {share}", ending="\n" if done == total else "")
            self.stderr.flush()

    def _show(self, verdict: Verdict, unreadable: int) -> None:
        for one in verdict.findings:
            self.stdout.write(f"✗ {one.text}")
        if verdict.count > len(verdict.findings):
            self.stdout.write(f"✗ 另有 {verdict.count - len(verdict.findings):,} 处未列出")
        for what in verdict.unsettled:
            self.stdout.write(f"? {what}")
        self.stdout.write(
            f"读取 {verdict.events:,} 条，其中已封存 {verdict.sealed:,} 条，"
            f"签名的检查点到第 {verdict.signed:,} 条，外部锚点相符 {verdict.anchored:,} 个，"
            f"异常 {verdict.count:,} 处"
        )
        if verdict.pruned or verdict.redacted:
            self.stdout.write(
                f"经双人批准：归档后清理 {verdict.pruned:,} 条，遮盖 {verdict.redacted:,} 条"
            )
        if verdict.unverified_receipts:
            receipts = verdict.unverified_receipts.items()
            counted = "、".join(f"{what} {count:,} 个" for what, count in receipts)
            self.stdout.write(f"{counted}未核验（没有设置证书或公钥）")
        if unreadable:
            self.stdout.write(f"锚点文件中有 {unreadable:,} 处残缺，无法读取，已略过")
        if not verdict.anchored:
            self.stdout.write(ALONE)


def _verifiers(path: Path | None) -> list[Verifier]:
    if path is None:
        return trail.verifiers()
    return [Verifier.parse(line) for line in path.read_text().splitlines() if line]


def _anchors(paths: Sequence[Path], verifiers: Sequence[Verifier]) -> tuple[list[Note], int]:
    """
    Return the notes in these files, each signed by a log we know; and how many were torn.

    :raises BadNote: one is not, or there is none: it would be no anchor
    """
    notes: list[Note] = []
    unreadable = 0
    for path in paths:
        found = verifying.anchors_in(path, verifiers)
        if not found.notes:
            raise BadNote(f"{path} 里没有检查点")
        notes += found.notes
        unreadable += found.unreadable
    return notes, unreadable


def _json(verdict: Verdict, unreadable: int) -> str:
    shown = {
        "events": verdict.events,
        "sealed": verdict.sealed,
        "signed": verdict.signed,
        "anchored": verdict.anchored,
        "unreadable_anchors": unreadable,
        "pruned": verdict.pruned,
        "redacted": verdict.redacted,
        "count": verdict.count,
        "findings": [asdict(one) for one in verdict.findings],
        "unsettled": verdict.unsettled,
        "unverified_receipts": verdict.unverified_receipts,
        "only_self_consistent": not verdict.anchored,
    }
    return json.dumps(shown, ensure_ascii=False, indent=2)
