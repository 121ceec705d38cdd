"""
What can go wrong between the terminal and WeChat's face SDK.

* SDKError
  - NotRunning          the face service did not take the call: start it, then call again
  - NotLoadable         the library cannot be loaded into this process
  - Unreadable          the library answered something that is not its protocol
  - NotInitialised      call `init` first
  - Initialising        the service is still starting: wait half a second, call `init` again
  - Cancelled           the person left
  - ScanPreferred       the person chose WeChat's QR code instead of their face
  - FaceUnknown         nobody WeChat knows was seen
  - PermissionMissing   the merchant was not given this function by WeChat
  - AuthorizationFailed WeChat could not ask the person for their name
  - CredentialExpired   fetch a new authinfo, then call again
  - CredentialMissing   authinfo is empty, or was made for another device
  - SerialUnknown       the machine's serial number is not readable by the service
  - NetworkMissing      the machine has no address on any network
  - ParametersWrong     the call itself is at fault; the same call will fail again
    - ModeRefused       a face_authtype this system has no use for; nothing was called
  - ModeUnsupported     the SDK does not know this face_authtype
  - AppidUnbound        the appid belongs to no open-platform account, so there is no union id
  - Outdated            the installed SDK is too old for this call
    - TooOld            … and says so of itself: nothing was called
  - CallFailed          ERROR, and no word about why
  - SystemFault         SYSTEMERROR, and no word about why
  - ClientFault         FAIL: the library, not the service
  - SDKFailed           any other code

Messages are ours: WeChat's own text is compared with known sentences and then dropped.
"""

import re
from typing import Any

SUCCESS = "SUCCESS"


class SDKError(Exception):
    """The SDK did not do what it was asked. `code` is a constant, safe to log."""

    code = "SDK_ERROR"
    message = "人脸组件出错"

    def __init__(self) -> None:
        super().__init__(self.message)


class NotRunning(SDKError):
    code = "NOT_RUNNING"
    message = "刷脸服务没有响应，请确认服务已启动"


class NotLoadable(SDKError):
    code = "NOT_LOADABLE"
    message = "无法加载人脸组件：请检查路径，以及程序与组件的位数（32/64 位）是否一致"


class Unreadable(SDKError):
    code = "UNREADABLE"
    message = "人脸组件的应答无法识别"


class NotInitialised(SDKError):
    code = "NOT_INITIALISED"
    message = "刷脸服务未初始化"


class Initialising(SDKError):
    code = "INITIALISING"
    message = "刷脸服务正在初始化"


class Cancelled(SDKError):
    code = "USER_CANCEL"
    message = "用户已取消"


class FaceUnknown(SDKError):
    code = "FACE_UNKNOWN"
    message = "没有识别到已知用户"


class CredentialExpired(SDKError):
    code = "CREDENTIAL_EXPIRED"
    message = "调用凭证已失效"


class CredentialMissing(SDKError):
    code = "CREDENTIAL_MISSING"
    message = "缺少调用凭证，或凭证不属于本设备"


class SerialUnknown(SDKError):
    code = "SERIAL_UNKNOWN"
    message = "刷脸服务读不到本机序列号"


class NetworkMissing(SDKError):
    code = "NETWORK_MISSING"
    message = "本机没有网络地址"


class ParametersWrong(SDKError):
    code = "PARAM_ERROR"
    message = "调用参数不正确"


class ModeRefused(ParametersWrong):
    code = "MODE_REFUSED"
    message = "本系统只用于实名建档和会员识别，不支持刷脸支付等其他模式"


class ModeUnsupported(SDKError):
    code = "MODE_UNSUPPORTED"
    message = "人脸组件不支持此认证模式"


class AppidUnbound(SDKError):
    code = "APPID_UNBOUND"
    message = "公众号未绑定微信开放平台，取不到 unionid"


class PermissionMissing(SDKError):
    code = "FACEPAY_NOT_AUTH"
    message = "商户尚未开通此项刷脸权限"


class AuthorizationFailed(SDKError):
    code = "AUTHORIZATION_FAILED"
    message = "微信未能完成授权"


class ScanPreferred(SDKError):
    code = "SCAN_PAYMENT"
    message = "用户改用扫码"


class Outdated(SDKError):
    code = "SDK_OUTDATED"
    message = "人脸组件版本过低，请升级"


class TooOld(Outdated):
    """:ivar needed: the first version that can do it."""

    code = "SDK_TOO_OLD"

    def __init__(self, needed: str) -> None:
        super().__init__()
        self.needed = needed
        self.args = (f"人脸组件版本过低，需要 {needed} 或更新的版本",)


class CallFailed(SDKError):
    code = "ERROR"
    message = "人脸组件调用失败"


class SystemFault(SDKError):
    code = "SYSTEMERROR"
    message = "人脸组件或微信系统出错"


class ClientFault(SDKError):
    code = "FAIL"
    message = "人脸组件客户端出错"


class SDKFailed(SDKError):
    """Any other failure; `code` is the SDK's own, if it looks like a code."""

    def __init__(self, code: str) -> None:
        super().__init__()
        self.code = code
        self.args = (f"{self.message}（{code}）",)


BY_ERR_CODE: dict[str, type[SDKError]] = {
    "271378620": NotInitialised,
    "271378621": Initialising,
    "271378433": CredentialMissing,
    "271382020": CredentialExpired,
    "271359488": ParametersWrong,
    "271364105": Outdated,
    "271364112": AppidUnbound,
}
# Seen in the field without an err_code; compared whole, never repeated.
BY_MESSAGE: dict[str, type[SDKError]] = {
    "AuthInfo License Error": CredentialExpired,
    "Unable to get device SN": SerialUnknown,
    "ip address is null": NetworkMissing,
    "授权失败": AuthorizationFailed,
    "暂不支持此认证模式": ModeUnsupported,
    "API NOT SUPPORT": Outdated,
    "SDK版本过低,请更新SDK": Outdated,
}
BY_RETURN_CODE: dict[str, type[SDKError]] = {
    "USER_CANCEL": Cancelled,
    "SCAN_PAYMENT": ScanPreferred,
    "FACE_UNKNOWN": FaceUnknown,
    "FACEPAY_NOT_AUTH": PermissionMissing,
    "PARAM_ERROR": ParametersWrong,
}
# These say nothing: an err_code beside them, even an unknown one, says more.
BY_VAGUE_CODE: dict[str, type[SDKError]] = {
    "ERROR": CallFailed,
    "SYSTEMERROR": SystemFault,
    "FAIL": ClientFault,
}
_RETURN_CODE = re.compile(r"[A-Z][A-Z_]{1,31}", re.ASCII)
# Nine digits: nothing that could be a telephone or document number passes for a code.
_ERR_CODE = re.compile(r"[0-9]{9}", re.ASCII)


def return_code(answer: dict[str, Any]) -> str:
    """
    Return the answer's `return_code`.

    :raises Unreadable: it has none, or not one that looks like a code
    """
    code = answer.get("return_code")
    if not isinstance(code, str) or not _RETURN_CODE.fullmatch(code):
        raise Unreadable
    return code


def check(answer: dict[str, Any]) -> None:
    """
    Pass a successful answer; turn any other into its fact, the most specific first.

    :raises SDKError:
    """
    code = return_code(answer)
    if code == SUCCESS:
        return
    err_code = str(answer.get("err_code", ""))
    known = (
        BY_ERR_CODE.get(err_code)
        or BY_MESSAGE.get(str(answer.get("return_msg", "")))
        or BY_RETURN_CODE.get(code)
    )
    if known:
        raise known
    if _ERR_CODE.fullmatch(err_code):
        raise SDKFailed(err_code)
    raise BY_VAGUE_CODE[code] if code in BY_VAGUE_CODE else SDKFailed(code)
