import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from hospital.accounts import bootstrapping
from hospital.accounts.bootstrapping import Newcomer
from hospital.errors import Refusal
from hospital.roles import ADMINISTRATORS, Role


class Command(BaseCommand):
    help = "新系统的第一步：建立系统管理员、安全管理员、审计管理员各一名，显示一次性密码"

    def add_arguments(self, parser: CommandParser) -> None:
        for role in ADMINISTRATORS:
            parser.add_argument(
                f"--{role.value}",
                nargs=3,
                metavar=("工号", "显示名", "人员编号"),
                help=f"{role.label}；不写则逐项询问",
            )

    def handle(self, *args: Any, **options: Any) -> None:
        people = {role: _newcomer(role, options[role.value]) for role in ADMINISTRATORS}
        try:
            made = bootstrapping.bootstrap(people, at=timezone.now())
        except Refusal as exc:
            raise CommandError(exc.message) from None
        for role, (staff, password) in made.items():
            self.stdout.write(f"{role.label} {staff.username} 一次性密码：{password}")
        self.stdout.write("密码只显示这一次，请分别交给三人；首次登录须改密码并绑定第二验证方式")


def _newcomer(role: Role, given: list[str] | None) -> Newcomer:
    if given is None and not sys.stdin.isatty():
        raise CommandError(f"缺少 --{role.value} 工号 显示名 人员编号（{role.label}）")
    return Newcomer(*(given or _asked(role)))


def _asked(role: Role) -> list[str]:
    return [input(f"{role.label}的{what}：").strip() for what in ("工号", "显示名", "人员编号")]
