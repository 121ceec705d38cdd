"""The page anybody may read, without an account and without being noted."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from hospital.compliance.privacy import statement


@require_safe
def privacy(request: HttpRequest) -> HttpResponse:
    return render(request, "compliance/privacy.html", {"told": statement()})
