"""What staff see of visits, of what was agreed to, and of who we are to WeChat."""

from faceauth.admin.assessments import AssessmentAdmin
from faceauth.admin.consents import ConsentAdmin, NoticeAdmin
from faceauth.admin.merchants import MerchantAdmin
from faceauth.admin.sessions import FaceSessionAdmin

__all__ = ["AssessmentAdmin", "ConsentAdmin", "FaceSessionAdmin", "MerchantAdmin", "NoticeAdmin"]
