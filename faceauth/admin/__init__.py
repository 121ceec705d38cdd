"""What staff see of visits, of what was agreed to, and of who we are to WeChat."""

from faceauth.admin.consents import ConsentAdmin, NoticeAdmin
from faceauth.admin.merchants import MerchantAdmin
from faceauth.admin.sessions import FaceSessionAdmin

__all__ = ["ConsentAdmin", "FaceSessionAdmin", "MerchantAdmin", "NoticeAdmin"]
