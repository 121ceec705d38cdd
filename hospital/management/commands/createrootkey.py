from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from hospital.crypto.providers import KeyUnavailable, RootKeyExists, configured


class Command(BaseCommand):
    help = "在 KEY_PROVIDER 指定之处生成根密钥：文件、PKCS#11 密码设备或 Vault；已有则不作改动"

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            configured.create_root(settings.KEY_PROVIDER)
        except ImproperlyConfigured as exc:
            raise CommandError(f"密钥提供方配置不全：{exc}") from None
        except RootKeyExists as exc:
            raise CommandError(
                f"根密钥 {exc} 已存在，未作改动：换了根密钥，已封存的数据就打不开"
            ) from None
        except KeyUnavailable as exc:
            raise CommandError(f"根密钥未能生成：{exc.reason}") from None
        self.stdout.write(f"根密钥已生成（{settings.KEY_PROVIDER}）：请按所在设备的办法备份")
