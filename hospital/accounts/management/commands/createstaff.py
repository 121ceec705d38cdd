import secrets
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import IntegrityError, transaction
from django.utils import timezone

from hospital.accounts.models import Staff
from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, record
from hospital.roles import Role


class Command(BaseCommand):
    help = "建立一个账号并显示一次性密码：createstaff 工号 显示名 人员编号 角色"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("username")
        parser.add_argument("display_name")
        parser.add_argument("person_id")
        parser.add_argument("role", choices=Role.values)

    def handle(self, *args: Any, **options: Any) -> None:
        password = secrets.token_urlsafe(12)
        fields = {name: options[name] for name in ("username", "display_name", "person_id", "role")}
        try:
            with transaction.atomic():
                staff = Staff.objects.create_user(password=password, **fields)
                record(Action.STAFF_CREATE, by=SYSTEM, on=staff, at=timezone.now(), role=staff.role)
        except IntegrityError:
            raise CommandError("工号或人员编号已存在：一人一号，一人一角色") from None
        self.stdout.write(f"{staff.username}（{staff.get_role_display()}）密码：{password}")
