from typing import Any

from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    """Takes the place of Django's, whatever that is called with."""

    help = "没有超级用户：请用 bootstrapadmins"

    def run_from_argv(self, argv: list[str]) -> None:
        super().run_from_argv(argv[:2])

    def handle(self, *args: Any, **options: Any) -> None:
        raise CommandError(
            "没有超级用户（三员分立）。新系统请用 bootstrapadmins 建立三名管理员；"
            "其他账号由系统管理员在后台建立，角色由安全管理员申请、系统管理员批准"
        )
