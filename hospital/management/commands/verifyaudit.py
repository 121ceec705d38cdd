import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import Error, transaction
from django.utils import timezone

from hospital.audit import anchoring, trail, verification, verified
from hospital.audit.actions import Action
from hospital.audit.checkpoint import BadNote, Note, Verifier
from hospital.audit.merkle import Frontier
from hospital.audit.recording import SYSTEM, record
from hospital.audit.verification import Verdict

FOUND, UNSETTLED = 1, 2  # exit codes
GONE: Final = (
    "TRUNCATED 上次核验到第 {} 条，数据库不再包含它：被截断或改写；"
    "确因恢复备份而换了日志的，删除 VERIFIED_STATE 后重新核验"
)
ALONE: Final = "仅自洽：没有外部锚点，不能发现末尾连同其签名一起被删除（--anchor FILE）"


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
            anchors = _anchors(options["anchor"], verifiers)
            kept = _kept()
            is_continued = kept is None or verification.continued(kept)
            begin = kept if options["incremental"] and is_continued else None
            verdict = verification.verify(
                at=timezone.now(),
                verifiers=verifiers,
                anchors=anchors,
                begin=begin,
                told=self._progress,
            )
            if kept and not is_continued:
                verdict.find("truncated", GONE.format(kept.size))
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
        if verdict.is_intact and not verdict.unsettled and verdict.reached.size:
            verified.write(settings.VERIFIED_STATE, verdict.reached)
        _record(verdict, is_full=begin is None)
        if options["json"]:
            self.stdout.write(_json(verdict))
        else:
            self._show(verdict)
        if verdict.count:
            raise CommandError(f"留痕有 {verdict.count:,} 处异常", returncode=FOUND)
        if verdict.unsettled:
            raise CommandError("不能完全核验，原因见上", returncode=UNSETTLED)

    def _progress(self, done: int, total: int) -> None:
        if self.stderr.isatty():
            share = f"{done:,} / {total:,}"
            self.stderr.write(f"\r\x1b[K核验 {share}", ending="\n" if done == total else "")
            self.stderr.flush()

    def _show(self, verdict: Verdict) -> None:
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
        if not verdict.anchored:
            self.stdout.write(ALONE)


def _verifiers(path: Path | None) -> list[Verifier]:
    if path is None:
        return trail.verifiers()
    return [Verifier.parse(line) for line in path.read_text().splitlines() if line]


def _anchors(paths: Sequence[Path], verifiers: Sequence[Verifier]) -> list[Note]:
    """
    Return the notes in these files, each signed by a log we know.

    :raises BadNote: one is not, or there is none: it would be no anchor
    """
    notes = []
    for path in paths:
        found = anchoring.notes(path.read_text())
        if not found:
            raise BadNote(f"{path} 里没有检查点")
        notes += found
    for note in notes:
        if not any(
            one.name == note.checkpoint.origin and note.is_signed_by(one) for one in verifiers
        ):
            raise BadNote("外部锚点没有用已知的公钥签名（TRAIL_VERIFIERS 或 --verifiers）")
    return notes


def _kept() -> Frontier | None:
    """Return how far an earlier run came; None if there was none, or its file is damaged."""
    try:
        return verified.read(settings.VERIFIED_STATE)
    except verified.Unreadable:
        return None


def _json(verdict: Verdict) -> str:
    shown = {
        "events": verdict.events,
        "sealed": verdict.sealed,
        "signed": verdict.signed,
        "anchored": verdict.anchored,
        "count": verdict.count,
        "findings": [asdict(one) for one in verdict.findings],
        "unsettled": verdict.unsettled,
        "only_self_consistent": not verdict.anchored,
    }
    return json.dumps(shown, ensure_ascii=False, indent=2)


def _record(verdict: Verdict, *, is_full: bool) -> None:
    with transaction.atomic():
        record(
            Action.AUDIT_VERIFY,
            by=SYSTEM,
            on=None,
            at=timezone.now(),
            outcome="success" if verdict.is_intact else "failed",
            is_full=is_full,
            is_anchored=bool(verdict.anchored),
            size=verdict.signed,
            count=verdict.events,
            findings=verdict.count,
        )
