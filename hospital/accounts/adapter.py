"""What allauth asks of us: nobody signs up, secrets lie sealed, a phone shows whose code it is."""

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from django.conf import settings
from django.http import HttpRequest

from hospital.accounts import mfa_sealing


class NoSignUp(DefaultAccountAdapter):  # type: ignore[misc] # allauth has no types
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False


class SecondFactors(DefaultMFAAdapter):  # type: ignore[misc] # allauth has no types
    def encrypt(self, text: str) -> str:
        return mfa_sealing.seal(text)

    def decrypt(self, encrypted_text: str) -> str:
        return mfa_sealing.unsealed(encrypted_text)

    def _get_site_name(self) -> str:
        name: str = settings.HOSPITAL_NAME
        return name
