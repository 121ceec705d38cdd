from hospital.privacy.models.assessment import Assessment
from hospital.privacy.models.disclosure import Disclosure
from hospital.privacy.models.erasure import Erasure, LedgerMark
from hospital.privacy.models.incident import Affected, Incident, Inquiry, Notification
from hospital.privacy.models.retention import LegalHold, RetentionRule, RetentionRun
from hospital.privacy.models.rights import RightsCopy, RightsRequest
from hospital.privacy.models.scale import Scale

__all__ = [
    "Affected",
    "Assessment",
    "Disclosure",
    "Erasure",
    "Incident",
    "Inquiry",
    "LedgerMark",
    "LegalHold",
    "Notification",
    "RetentionRule",
    "RetentionRun",
    "RightsCopy",
    "RightsRequest",
    "Scale",
]
