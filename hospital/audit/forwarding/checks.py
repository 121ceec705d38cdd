"""What forwarding and its figures must not be in production."""

from typing import Any, Final

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004

_SHORTEST_TOKEN: Final = 32  # characters
_DOCUMENTATION: Final = 32473  # RFC 5612: in nobody's real messages


@register(Tags.security, deploy=True)
def enterprise(**_kwargs: Any) -> list[CheckMessage]:
    """Return a warning where messages carry the number that is for examples."""
    if settings.FORWARD_ENTERPRISE <= 0:
        return [Error("FORWARD_ENTERPRISE 须是正整数", id="audit.E010")]
    unset = settings.FORWARD_ENTERPRISE == _DOCUMENTATION
    if not settings.FORWARD_ADDRESS or not unset or settings.DEPLOY_LEVEL == "demo":
        return []
    hint = "设置 FORWARD_ENTERPRISE：本院或厂商在 IANA 登记的企业编号"
    return [Warning("外发留痕用的是文档示例的企业编号", hint=hint, id="audit.W010")]


@register(Tags.security, deploy=True)
def token(**_kwargs: Any) -> list[CheckMessage]:
    """Return an error where the figures are behind a token that can be guessed."""
    length = len(settings.METRICS_TOKEN)
    if not length or length >= _SHORTEST_TOKEN or settings.DEPLOY_LEVEL == "demo":
        return []
    hint = f"换成至少 {_SHORTEST_TOKEN} 个随机字符"
    return [Error("METRICS_TOKEN 太短", hint=hint, id="audit.E011")]
