"""What a process that serves patients must have before it starts."""

from contextlib import suppress

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError, connections
from django.utils import timezone

from hospital import policy
from hospital.accounts import policies
from hospital.crypto import keyring
from hospital.parameters import BY_KEY
from hospital.privacy.erasing import standing


def refuse_beyond_lines() -> None:
    """
    Stop a process whose environment sets the policy beyond its lines; on record, if that can be.

    :raises ImproperlyConfigured: naming each of them
    """
    beyond = policy.beyond()
    if not beyond:
        return
    try:
        with suppress(DatabaseError):
            policies.reject(beyond, source="environment", at=timezone.now())
    finally:
        connections.close_all()
    raise ImproperlyConfigured("\n".join(BY_KEY[key].refusal(one) for key, one in beyond.items()))


def refuse_unreplayed() -> None:
    """
    Look at every line of the ledger of who was forgotten; a backup may have brought one back.

    Without a database nothing can be told yet, as with the keys.

    :raises ImproperlyConfigured: somebody is here again, or nobody can tell
    """
    try:
        standing.demand_replayed(thorough=True)
    except standing.Unreplayed as exc:
        raise ImproperlyConfigured(f"{exc}（不启动）") from None
    except DatabaseError:
        return
    finally:
        connections.close_all()


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
