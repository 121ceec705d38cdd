from django import template
from django.utils import timezone

from faceauth import merchant_certificates
from hospital import roles
from hospital.roles import May

register = template.Library()


@register.inclusion_tag("admin/faceauth/merchant/_endings.html")
def certificate_endings(person: object) -> dict[str, list[merchant_certificates.Ending]]:
    """Warn whoever can replace a certificate that one ends soon."""
    concerned = roles.may(person, May.MANAGE_MERCHANTS)
    return {"endings": merchant_certificates.endings(at=timezone.now()) if concerned else []}
