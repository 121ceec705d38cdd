"""The form of a merchant: what is uploaded is checked, and sealed before it touches the row."""

from datetime import datetime
from typing import Any

from django import forms
from django.utils import timezone

from faceauth import merchant_keys, pem
from faceauth.admin import merchant_state
from faceauth.admin.merchant_fields import KeyField, KeyInput, Removed
from faceauth.admin.merchant_state import PRINTS, PUBLIC
from faceauth.models import Merchant, Slot
from hospital.crypto import letterbox

# A certificate, the key it belongs to, and the column its serial goes into.
CERTIFICATES = (
    ("merchant_certificate", Slot.SIGNING_KEY, "merchant_serial"),
    ("decrypting_certificate", Slot.DECRYPTING_KEY, "sub_serial_no"),
)

NO_WORKER = "后台没有工作进程的公钥，不能封存密钥：请运维人员运行 manage.py createworkerkey"
NOT_A_PAIR = "证书与私钥不是一对，请一起更换"
LEFT_OVER = "普通商户用签名私钥解密：请清除解密私钥，或改为服务商模式"
OUTDATED = "打开本页后商户资料已被修改，为免覆盖未作保存：请重新打开本页再改"


class MerchantForm(forms.ModelForm[Merchant]):
    """Takes keys and certificates; says which columns changed, whoever changed them."""

    apiv2_key = KeyField(Slot.APIV2_KEY.label, pem.apiv2_key, is_text=True)
    apiv3_key = KeyField(Slot.APIV3_KEY.label, pem.apiv3_key, is_text=True)
    signing_key = KeyField(Slot.SIGNING_KEY.label, pem.rsa_key, has_password=True)
    decrypting_key = KeyField(Slot.DECRYPTING_KEY.label, pem.rsa_key, has_password=True)
    signer_key = KeyField(Slot.SIGNER_KEY.label, pem.signer_key, has_password=True)
    merchant_certificate = KeyField("商户 API 证书", pem.certificate)
    decrypting_certificate = KeyField("解密证书", pem.certificate)
    wechat_public_key = KeyField("微信支付公钥", pem.wechat_public_key)
    # Of the row as the page showed it. Whatever a page shows it sends back: an older one would
    # undo what somebody else has changed since, a file's name the upload that took its place.
    shown = forms.CharField(label="所见版本", required=False, widget=forms.HiddenInput)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._before = _columns(self.instance)
        self.initial["shown"] = _version(self.instance.changed_at)
        for name, line in merchant_state.states(self.instance, at=timezone.now()).items():
            self.fields[name].help_text = line
            widget = self.fields[name].widget
            assert isinstance(widget, KeyInput)  # noqa: S101 (declared above)
            widget.is_kept = bool(getattr(self.instance, name))

    @property
    def changed_data(self) -> list[str]:
        """Also what followed: a serial its certificate, a file name the upload in its place."""
        now = _columns(self.instance)
        return [name for name, value in now.items() if value != self._before[name]]

    def clean(self) -> None:
        super().clean()
        self._check_version()
        for slot in Slot:
            self._put(slot)
        for column in PUBLIC:
            self._put_public(column)
        for column, slot, serial in CERTIFICATES:
            self._follow(column, slot, serial)
        self._check_decrypting()
        public_key = self.cleaned_data["wechat_public_key"]
        if public_key and not self.cleaned_data.get("wechat_public_key_id"):
            self.add_error("wechat_public_key_id", "请填写公钥编号（PUB_KEY_ID_ 开头）")

    def _check_version(self) -> None:
        rows = Merchant.objects.select_for_update().filter(pk=self.instance.pk)  # one at a time
        now = rows.values_list("changed_at", flat=True).first()
        if self.cleaned_data.get("shown") != _version(now):
            self.add_error(None, OUTDATED)

    def _put(self, slot: Slot) -> None:
        given = self.cleaned_data.get(slot)
        kept = self.cleaned_data[slot] = getattr(self.instance, slot)
        file = self.cleaned_data.get(slot.file, "")
        names_file = bool(file) and file != getattr(self.instance, slot.file)
        if given is None:
            if names_file and kept:
                self._replace(slot, b"", None)
        elif isinstance(given, Removed):
            self._replace(slot, b"", None)
        elif names_file:
            self.add_error(slot.file, "已上传密钥，文件名请留空")
        else:
            self._seal(slot, given)

    def _seal(self, slot: Slot, given: bytes | pem.PrivateKey) -> None:
        key = given if isinstance(given, pem.PrivateKey) else None
        content = given.pem if isinstance(given, pem.PrivateKey) else given
        try:
            sealed = merchant_keys.seal(self.instance, slot, content)
        except letterbox.NoKeyFile:
            self.add_error(slot.value, NO_WORKER)
            return
        self._replace(slot, sealed, key)
        self.cleaned_data[slot.file] = ""

    def _replace(self, slot: Slot, sealed: bytes, key: pem.PrivateKey | None) -> None:
        self.cleaned_data[slot] = sealed
        if slot in PRINTS:
            setattr(self.instance, PRINTS[slot], key.fingerprint if key else "")
        if slot is Slot.SIGNER_KEY:
            self.instance.signer_key_id = key.key_id if key else ""

    def _put_public(self, column: str) -> None:
        given = self.cleaned_data.get(column)
        if isinstance(given, Removed):
            self.cleaned_data[column] = ""
        elif given is None:
            self.cleaned_data[column] = getattr(self.instance, column)
        else:
            self.cleaned_data[column] = given.pem
            if column == "wechat_public_key":
                self.cleaned_data["wechat_public_key_file"] = ""

    def _follow(self, column: str, slot: Slot, serial: str) -> None:
        text = self.cleaned_data[column]
        if not text:
            return
        certificate = pem.certificate(text.encode())
        is_direct = self.cleaned_data.get("mode") != Merchant.Mode.PARTNER
        if serial == "merchant_serial" or not is_direct:  # only a 服务商's has another serial
            self.cleaned_data[serial] = certificate.serial
        if getattr(self.instance, PRINTS[slot]) not in {"", certificate.fingerprint}:
            self.add_error(column, NOT_A_PAIR)

    def _check_decrypting(self) -> None:
        """WeChat encrypts to a direct merchant's one certificate: another key opens nothing."""
        prints = {getattr(self.instance, column) for column in PRINTS.values()} - {""}
        is_direct = self.cleaned_data.get("mode") == Merchant.Mode.DIRECT
        if is_direct and len(prints) > 1:
            self.add_error(Slot.DECRYPTING_KEY.value, LEFT_OVER)


def _version(changed_at: datetime | None) -> str:
    return changed_at.isoformat() if changed_at else ""


def _columns(merchant: Merchant) -> dict[str, Any]:
    """Return what the row would be saved with; its date of change follows by itself."""
    columns = (field for field in merchant._meta.concrete_fields if field.name != "changed_at")
    return {field.name: field.value_from_object(merchant) for field in columns}
