from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from hospital.crypto import letterbox


class Command(BaseCommand):
    help = "生成工作进程的密钥对：后台用公钥封存商户密钥，只有工作进程的私钥能打开"

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.WORKER_KEY_FILE or not settings.WORKER_PUBLIC_KEY_FILE:
            raise CommandError("先设置 WORKER_KEY_FILE 和 WORKER_PUBLIC_KEY_FILE")
        private = Path(settings.WORKER_KEY_FILE)
        public = Path(settings.WORKER_PUBLIC_KEY_FILE)
        try:
            ident = letterbox.create(private=private, public=public)
        except FileExistsError as exc:
            raise CommandError(
                f"{exc.filename} 已存在，未作改动：换了密钥，已封存的就打不开"
            ) from None
        except OSError as exc:
            raise CommandError(f"{exc.filename} 无法写入：{exc.strerror}") from None
        self.stdout.write(
            f"已生成，编号 {ident.hex()}：{public} 供网页进程，{private} 只供工作进程"
        )
