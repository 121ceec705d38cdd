"""One visit and its moves; on what consent it stands; which merchant we are to WeChat."""

from faceauth.models.consent import Consent, Declining, Notice
from faceauth.models.merchant import Merchant, NotConfigured, Slot
from faceauth.models.session import LEASE, LIFETIME, FaceSession, WrongState

__all__ = [
    "LEASE",
    "LIFETIME",
    "Consent",
    "Declining",
    "FaceSession",
    "Merchant",
    "NotConfigured",
    "Notice",
    "Slot",
    "WrongState",
]
