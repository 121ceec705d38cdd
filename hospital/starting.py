"""What a process that serves patients must have before it starts."""

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections

from hospital.crypto import keyring


def refuse_without_keys() -> None:
    """
    Open every key epoch in use, once; a process that cannot would answer nobody.

    Without a database nothing can be told yet, and nothing is opened either: readiness
    says so until it is there.

    :raises ImproperlyConfigured: the key provider is away, or holds another root key
    """
    try:
        keyring.open_all()
    except keyring.KeyUnavailable as exc:
        raise ImproperlyConfigured(f"密钥提供方不可用，不启动：{exc.reason}") from None
    except keyring.WrongKey:
        raise ImproperlyConfigured("密钥提供方的根密钥与数据库不符，不启动") from None
    except DatabaseError:
        return
    finally:
        connections.close_all()
