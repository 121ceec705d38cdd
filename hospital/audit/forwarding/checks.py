"""What a forwarder must not be in production."""

from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register  # noqa: A004

_DOCUMENTATION: Final = 32473  # RFC 5612: in nobody's real messages


@register(Tags.security, deploy=True)
def enterprise(**_kwargs: Any) -> list[CheckMessage]:
    """Return a warning where messages carry the number that is for examples."""
    unset = settings.FORWARD_ENTERPRISE == _DOCUMENTATION
    if not settings.FORWARD_ADDRESS or not unset or settings.DEPLOY_LEVEL == "demo":
        return []
    hint = "设置 FORWARD_ENTERPRISE：本院或厂商在 IANA 登记的企业编号"
    return [Warning("外发留痕用的是文档示例的企业编号", hint=hint, id="audit.W010")]
