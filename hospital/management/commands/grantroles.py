from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, ProgrammingError, connection, transaction
from django.utils import timezone

from hospital.audit import grants, guards
from hospital.audit.actions import Action
from hospital.audit.grants import Roles
from hospital.audit.recording import SYSTEM, record

LOGINS = ("app", "notary", "auditor", "keeper")
PATIENCE = "SET LOCAL lock_timeout = '5s'"  # a table changes hands only when nobody is at it


class Command(BaseCommand):
    help = (
        "设置 PostgreSQL 账号：数据表归 --owner（不能登录），应用、签名、审计、清理各用自己的账号。"
        "以能建账号的账号运行；每次 migrate 之后再运行一次"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--owner", required=True, metavar="NAME", help="数据表的所有者")
        parser.add_argument("--app", required=True, metavar="NAME", help="网页和工作进程的账号")
        parser.add_argument("--notary", default="", metavar="NAME", help="签名进程（notary）的账号")
        parser.add_argument("--auditor", default="", metavar="NAME", help="核验留痕的账号，只读")
        parser.add_argument(
            "--keeper",
            default="",
            metavar="NAME",
            help="归档、清理、遮盖留痕的账号：由人使用，每日归档也用它",
        )
        for name in LOGINS:
            parser.add_argument(
                f"--{name}-password-file", type=Path, metavar="FILE", help=f"{name} 的密码"
            )
        parser.add_argument("--dry-run", action="store_true", help="只显示 SQL，不作改动")

    def handle(self, *args: Any, **options: Any) -> None:
        if connection.vendor != "postgresql":
            raise CommandError("只用于 PostgreSQL：SQLite 没有账号")
        try:
            roles = Roles(options["owner"], *(options[name] for name in LOGINS))
            lines = grants.statements(roles, grants.inspect(connection, roles))
        except grants.Unsuitable as exc:
            raise CommandError(str(exc)) from None
        passwords = _passwords(options)
        if options["dry_run"]:
            hidden = [f'ALTER ROLE "{name}" PASSWORD …' for name in passwords]
            self.stdout.write("\n".join(f"{line};" for line in [*lines, *hidden]))
            return
        try:
            _carry_out(lines, passwords)
        except (OperationalError, ProgrammingError) as exc:
            raise CommandError(f"数据库拒绝，未作改动：{exc}") from None
        self.stdout.write(f"已设置，共 {len(lines)} 条；应用以 {roles.app} 连接")
        if not roles.notary:
            self.stdout.write("没有签名账号：签名进程暂时只能以表的所有者连接，请补上 --notary")
        if not roles.keeper:
            self.stdout.write("没有清理账号：不能归档、清理、遮盖留痕，请补上 --keeper")
        for fault in guards.drift(connection):
            self.stdout.write(f"请处理：{fault}")


def _passwords(options: dict[str, Any]) -> dict[str, str]:
    found = {}
    for name in LOGINS:
        if path := options[f"{name}_password_file"]:
            if not options[name]:
                raise CommandError(f"给了 {name} 的密码，没有给账号：--{name}")
            try:
                found[options[name]] = path.read_text().strip()
            except OSError as exc:
                raise CommandError(f"读不到 {path}：{exc.strerror}") from None
    return found


def _carry_out(lines: list[str], passwords: dict[str, str]) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(PATIENCE)
        for line in lines:
            cursor.execute(line)
        for name, password in passwords.items():
            # What the server is told, and may log, is what it keeps: no password.
            kept = connection.connection.pgconn.encrypt_password(
                password.encode(), name.encode(), b"scram-sha-256"
            )
            cursor.execute(f"ALTER ROLE \"{name}\" PASSWORD '{kept.decode()}'")
        record(Action.DATABASE_GRANT, by=SYSTEM, on=None, at=timezone.now(), count=len(lines))
