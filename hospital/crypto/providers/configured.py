"""The provider that the settings, or an epoch in the database, name."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from hospital.crypto.providers import KeyProvider, KeyUnavailable, RootKeyExists, tokens
from hospital.crypto.providers.file import FileProvider
from hospital.crypto.providers.pkcs11 import Pkcs11Provider
from hospital.crypto.providers.tokens import Token
from hospital.crypto.providers.vault import VaultProvider
from hospital.crypto.providers.vault_wire import Vault, VaultToken


def provider(name: str) -> KeyProvider:
    """
    Return the provider of this name, built from the settings. Nothing is opened yet.

    :raises ImproperlyConfigured: there is none of that name, or it is not configured
    """
    try:
        build = _BUILDERS[name]
    except KeyError:
        raise ImproperlyConfigured(f"KEY_PROVIDER: no provider is called {name!r}") from None
    return build()


def create_root(name: str) -> None:
    """
    Make the root key of the provider of this name, where that keeps it.

    :raises ImproperlyConfigured: there is none of that name, or it is not configured
    :raises RootKeyExists: there is one; nothing was changed
    :raises KeyUnavailable: it could not be made
    """
    match provider(name):
        case FileProvider(path):
            _create_file(path)
        case Pkcs11Provider() | VaultProvider() as other:
            other.create_root()


def forget() -> None:
    """Drop what is kept of a provider: the libraries of tokens. The rest keeps nothing."""
    tokens.forget()


def _create_file(path: Path) -> None:
    try:
        FileProvider.create(path)
    except FileExistsError:
        raise RootKeyExists(str(path)) from None
    except OSError as exc:
        raise KeyUnavailable(f"key file {path}: {exc.strerror}") from None


def _file() -> FileProvider:
    return FileProvider(Path(settings.KEY_FILE))


def _pkcs11() -> Pkcs11Provider:
    _require("PKCS11_MODULE", "PKCS11_TOKEN", "PKCS11_PIN", "PKCS11_KEY")
    token = Token(
        module=Path(settings.PKCS11_MODULE), label=settings.PKCS11_TOKEN, pin=settings.PKCS11_PIN
    )
    return Pkcs11Provider(token=token, key=settings.PKCS11_KEY)


def _vault() -> VaultProvider:
    _require("VAULT_ADDR", "VAULT_KEY", "VAULT_MOUNT")
    if not settings.VAULT_TOKEN_FILE:
        _require("VAULT_TOKEN")
    file = Path(settings.VAULT_TOKEN_FILE) if settings.VAULT_TOKEN_FILE else None
    vault = Vault(
        address=settings.VAULT_ADDR,
        token=VaultToken(settings.VAULT_TOKEN, file),
        namespace=settings.VAULT_NAMESPACE,
        cacert=settings.VAULT_CACERT,
    )
    return VaultProvider(vault=vault, key=settings.VAULT_KEY, mount=settings.VAULT_MOUNT)


_BUILDERS: Final[dict[str, Callable[[], KeyProvider]]] = {
    FileProvider.name: _file,
    Pkcs11Provider.name: _pkcs11,
    VaultProvider.name: _vault,
}


def _require(*names: str) -> None:
    missing = [name for name in names if not getattr(settings, name)]
    if missing:
        raise ImproperlyConfigured(f"KEY_PROVIDER: {', '.join(missing)} is not set")
