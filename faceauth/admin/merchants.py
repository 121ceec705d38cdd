from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import URLField
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone

from faceauth.admin.merchant_form import MerchantForm
from faceauth.admin.merchant_state import PUBLIC
from faceauth.models import Merchant, Slot
from hospital import stepup
from hospital.admin import in_words
from hospital.audit.actions import Action
from hospital.audit.recording import record
from hospital.audit.trailed import TrailedAdmin
from hospital.roles import May

IDENTITY = ("shown", "is_active", "mode", "appid", "mch_id", "sign_type", "asks_union_id")
SUB = ("sub_appid", "sub_mch_id", "sub_serial_no")
SECRETS = ("apiv2_key", "apiv3_key")
SIGNING = ("signing_key", "merchant_certificate", "merchant_serial")
DECRYPTING = ("decrypting_key", "decrypting_certificate")
WECHAT = ("wechat_public_key_id", "wechat_public_key")
REMOTE = ("signer_url", "signer_key")
FILES = (*(slot.file for slot in Slot), "wechat_public_key_file")


@admin.register(Merchant)
class MerchantAdmin(TrailedAdmin):
    """Keys go in here and come out nowhere: the worker alone can open them."""

    view = frozenset({May.MANAGE_MERCHANTS})
    add = change = May.MANAGE_MERCHANTS
    created, changed = Action.MERCHANT_CREATE, Action.MERCHANT_CHANGE
    stated = frozenset({"v2_base_url", "v3_base_url", "signer_url"})  # where we send what
    form = MerchantForm
    list_display = ["mch_id", "mode", "appid", "sub_mch_id", "use", "wanting", "changed_at"]
    fieldsets = [
        (None, {"fields": IDENTITY}),
        ("子商户（服务商模式）", {"fields": SUB}),
        ("接口密钥", {"fields": SECRETS}),
        ("签名", {"fields": SIGNING}),
        ("解密", {"fields": DECRYPTING, "description": "普通商户不填即用签名私钥"}),
        ("验签", {"fields": WECHAT}),
        ("签名服务（服务商模式）", {"fields": REMOTE, "classes": ["collapse"]}),
        (
            "密钥文件（不上传，只放在工作进程的服务器上）",
            {"fields": FILES, "classes": ["collapse"]},
        ),
        ("接入地址", {"fields": ("v2_base_url", "v3_base_url"), "classes": ["collapse"]}),
    ]
    use = staticmethod(in_words("is_active", label="状态", yes="使用中", no="已停用"))
    # A plain input: Django's own would put a link to WeChat on the hospital's page.
    formfield_overrides = {
        URLField: {
            "widget": forms.URLInput(attrs={"class": "vURLField"}),
            "assume_scheme": "https",
        }
    }

    @admin.display(description="待办")
    def wanting(self, merchant: Merchant) -> str:
        wanted = [f"缺{name}" for name in merchant.missing]
        return "；".join(wanted) or "—"

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        if not self.has_add_permission(request):
            raise PermissionDenied
        return self._added(request, form_url, extra_context)  # type: ignore[return-value]

    @stepup.fresh
    def _added(self, request: HttpRequest, form_url: str, extra_context: Any) -> HttpResponseBase:
        return super().add_view(request, form_url, extra_context)

    def save_model(
        self, request: HttpRequest, obj: Any, form: ModelForm[Any], change: bool
    ) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        obj.save()
        kept = {name for name in (*Slot.values, *PUBLIC) if getattr(obj, name)}
        record(self.created, by=request.user, on=obj, at=timezone.now(), fields=kept)  # type: ignore[arg-type]
