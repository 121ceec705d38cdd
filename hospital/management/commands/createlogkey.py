from typing import Any

from django.core.management.base import BaseCommand, CommandError

from hospital.audit import log_key, trail


class Command(BaseCommand):
    help = "生成留痕的签名密钥（NOTARY_KEY_FILE），并给出公钥：交给见证方和核验的人"
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            signer = log_key.create(trail.key_file(), name=trail.origin())
        except trail.NotConfigured as exc:
            raise CommandError(str(exc)) from None
        except FileExistsError as exc:
            raise CommandError(
                f"{exc.filename} 已存在，未作改动：换了密钥，留痕须另起一册（TRAIL_ORIGIN）"
            ) from None
        except OSError as exc:
            raise CommandError(f"{exc.filename} 无法写入：{exc.strerror}") from None
        self.stdout.write(str(signer.verifier))
