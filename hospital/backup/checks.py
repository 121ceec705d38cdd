"""What backups must not be: one person's to open, or kept for longer than was promised."""

from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004

from hospital.backup import making

SHORTEST: Final = 7  # days
LONGEST: Final = 35  # days: what is told to who was erased
LONGEST_KEYS: Final = 30  # days: so long a destroyed key is in a backup


@register(Tags.security)
def backups_take_two(**_kwargs: Any) -> list[CheckMessage]:
    """Return an error where one person could restore, or a key is none."""
    if not settings.BACKUP_RECIPIENTS_FIRST and not settings.BACKUP_RECIPIENTS_SECOND:
        return []
    try:
        making.groups()
    except making.NotConfigured as exc:
        hint = "两组公钥分属两个人，可各有一名替补；用 createbackupkey 生成"
        return [Error(str(exc), hint=hint, id="backup.E001")]
    return []


@register(Tags.security)
def backups_end(**_kwargs: Any) -> list[CheckMessage]:
    """Return an error for a period beyond its line."""
    found: list[CheckMessage] = []
    for name, longest in (
        ("BACKUP_KEEP_DAYS", LONGEST),
        ("BACKUP_KEYS_KEEP_DAYS", LONGEST_KEYS),
    ):
        if not SHORTEST <= getattr(settings, name) <= longest:
            hint = f"设为 {SHORTEST} 至 {longest} 天"
            found.append(Error(f"{name} 超出范围", hint=hint, id="backup.E002"))
    return found


@register(Tags.security, deploy=True)
def backups_made(**_kwargs: Any) -> list[CheckMessage]:
    """Return a warning where there is nobody to seal a backup to."""
    is_set = settings.BACKUP_RECIPIENTS_FIRST or settings.BACKUP_RECIPIENTS_SECOND
    if is_set or settings.DEPLOY_LEVEL == "demo":
        return []
    hint = "设置 BACKUP_RECIPIENTS_FIRST、BACKUP_RECIPIENTS_SECOND，每天运行 manage.py backup"
    return [Warning("没有设置备份公钥，不能做备份", hint=hint, id="backup.W003")]
