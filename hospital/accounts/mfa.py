"""
Second factors: what proves that it is them, and who has which.

Tables, codes and WebAuthn are allauth's. What proves somebody is ours: a code counts once and no
earlier one after it, by whichever process and whatever becomes of a cache.
"""

import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final

from allauth.core.internal.cryptokit import compare_user_code
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal import auth as totp
from allauth.mfa.webauthn.internal.auth import WebAuthn
from django.db import transaction
from django.db.models import QuerySet
from django.utils.crypto import constant_time_compare

from hospital.accounts import mfa_sealing, security_keys
from hospital.accounts.models import Staff
from hospital.audit.actions import Action
from hospital.audit.recording import record
from hospital.errors import Refusal

TOTP: Final = "totp"
KEY: Final = "webauthn"
RECOVERY: Final = "recovery"

_Type = Authenticator.Type
_NAMES: Final = {_Type.TOTP: TOTP, _Type.WEBAUTHN: KEY, _Type.RECOVERY_CODES: RECOVERY}
_USED: Final = "used"  # in a TOTP's data: the step of 30 s whose code was taken last
_COUNTER: Final = "counter"  # in a key's data: how often it had signed when it signed last
_TOTP_DIGITS: Final = 6  # a recovery code has more


class WrongAnswer(Refusal):
    """What was shown proves nothing."""

    code = "wrong_answer"
    message = "验证没有通过，请重试"


class CopiedKey(WrongAnswer):
    """A key counted backwards: there are two of it (WebAuthn 2, 6.1.1)."""


class LastFactor(Refusal):
    """Somebody without a second factor gets to no page."""

    code = "last_factor"
    message = "至少保留一种验证方式：请先绑定另一种，再解绑这一种"


class AlreadyEnrolled(Refusal):
    """There is one already: with a password alone none is added."""

    code = "already_enrolled"
    message = "该账号已绑定验证方式，请重新登录"


class SessionOver(Refusal):
    """Whoever is logged in here was locked out while they were at it."""

    code = "session_over"
    message = "登录已失效，操作没有完成，请重新登录"


def factors_of(person: Staff) -> QuerySet[Authenticator]:
    """Return what somebody can show besides recovery codes, oldest first."""
    return _all(person).exclude(type=_Type.RECOVERY_CODES).order_by("pk")


def name_of(factor: Authenticator) -> str:
    """Return what the trail calls a kind of factor."""
    return _NAMES[_Type(factor.type)]


def kind_of(*, code: str, credential: object) -> str:
    """Return which kind of factor an answer claims to be."""
    if credential is not None:
        return KEY
    return TOTP if len(_typed(code)) <= _TOTP_DIGITS else RECOVERY


def shown(person: Staff, *, code: str = "", credential: object = None, at: datetime) -> str:
    """
    Return the kind of factor that was shown, and take it: a code proves somebody once.

    :param credential: what a security key signed, if it was one; else `code` counts
    :raises WrongAnswer: a `CopiedKey` is on record
    """
    kind = kind_of(code=code, credential=credential)
    take = {TOTP: _take_code, RECOVERY: _take_recovery_code, KEY: _take_signature}[kind]
    try:
        with transaction.atomic():
            factor = take(person, _typed(code) if credential is None else credential)
            factor.last_used_at = at
            factor.save(update_fields=["last_used_at"])
    except CopiedKey:
        with transaction.atomic():
            record(Action.MFA_COPIED, by=person, on=person, at=at, outcome="denied", factor=kind)
        raise
    return kind


def enrol_totp(person: Staff, *, secret: str, code: str, is_first: bool, at: datetime) -> None:
    """
    Bind a phone that shows the codes of `secret`, in place of the one there was.

    :raises WrongAnswer: `code` is none of them
    :raises AlreadyEnrolled: it was to be the first factor and is not
    :raises SessionOver:
    """
    step = _step_of(secret, _typed(code), after=0)
    with _alone(person):
        if is_first and factors_of(person).exists():
            raise AlreadyEnrolled
        if _all(person).filter(type=_Type.TOTP).delete()[0]:
            record(Action.MFA_REMOVE, by=person, on=person, at=at, factor=TOTP)
        data = {"secret": mfa_sealing.seal(secret), _USED: step}
        Authenticator.objects.create(user=person, type=_Type.TOTP, data=data, created_at=at)
        _enrolled(person, TOTP, at=at)


def enrol_key(
    person: Staff, *, name: str, credential: object, is_first: bool, at: datetime
) -> None:
    """
    Bind a security key that answered what `key_to_bind` asked.

    :raises WrongAnswer: it answered something else
    :raises AlreadyEnrolled: it was to be the first factor and is not
    :raises SessionOver:
    """
    try:
        counter = security_keys.bound(credential)
    except security_keys.Unproven:
        raise WrongAnswer from None
    with _alone(person):
        if is_first and factors_of(person).exists():
            raise AlreadyEnrolled
        factor = WebAuthn.add(person, name, credential).instance
        factor.data[_COUNTER] = counter
        factor.save(update_fields=["data"])
        _enrolled(person, KEY, at=at)


def key_to_bind(person: Staff) -> str:
    """Return what a browser is to ask a new security key of somebody's."""
    return security_keys.ask_to_bind(person, _keys(person))


def key_to_prove(person: Staff) -> str:
    """Return what a browser is to ask one of somebody's security keys."""
    return security_keys.ask_to_prove(_keys(person))


def remove(person: Staff, factor: Authenticator, *, at: datetime) -> None:
    """
    Unbind one of somebody's factors; not the last.

    :raises LastFactor:
    :raises SessionOver:
    """
    with _alone(person):
        if not factors_of(person).exclude(pk=factor.pk).exists():
            raise LastFactor
        if factors_of(person).filter(pk=factor.pk).delete()[0]:
            record(Action.MFA_REMOVE, by=person, on=person, at=at, factor=name_of(factor))


def renew_codes(person: Staff, *, at: datetime) -> None:
    """
    Give somebody recovery codes anew; the old ones end.

    :raises SessionOver:
    """
    with _alone(person):
        _all(person).filter(type=_Type.RECOVERY_CODES).delete()
        RecoveryCodes.activate(person)
        record(Action.MFA_ENROL, by=person, on=person, at=at, factor=RECOVERY)


def codes_left(person: Staff) -> int:
    codes = _codes(person)
    return len(codes.get_unused_codes()) if codes else 0


def codes_to_show(person: Staff) -> list[str]:
    """Return the recovery codes nobody has been shown yet; from now on they were."""
    with transaction.atomic():
        codes = _codes(person)
        if codes is None or codes.did_view:
            return []
        codes.mark_as_viewed()
        return list(codes.get_unused_codes())


def _enrolled(person: Staff, factor: str, *, at: datetime) -> None:
    record(Action.MFA_ENROL, by=person, on=person, at=at, factor=factor)
    if _codes(person) is None:
        RecoveryCodes.activate(person)
        record(Action.MFA_ENROL, by=person, on=person, at=at, factor=RECOVERY)


def _take_code(person: Staff, code: Any) -> Authenticator:
    factor = _one(person, _Type.TOTP)
    if factor is None:
        raise WrongAnswer
    secret = mfa_sealing.unsealed(factor.data["secret"])
    factor.data[_USED] = _step_of(secret, code, after=factor.data.get(_USED, 0))
    factor.save(update_fields=["data"])
    return factor


def _step_of(secret: str, code: str, *, after: int) -> int:
    """
    Return the step of 30 s a code is of (RFC 6238, 5.2: each is accepted once).

    :raises WrongAnswer: of none, or of one that is over
    """
    for step in totp.yield_hotp_counters_from_time():
        expected = totp.format_hotp_value(totp.hotp_value(secret, step))
        if step > after and compare_user_code(actual=code, expected=expected):
            return int(step)
    raise WrongAnswer


def _take_recovery_code(person: Staff, code: Any) -> Authenticator:
    codes = _codes(person)
    if codes is None or not codes.validate_code(code):
        raise WrongAnswer
    return codes.instance


def _take_signature(person: Staff, credential: Any) -> Authenticator:
    try:
        factor, counter = security_keys.proven(credential, _keys(person).select_for_update())
    except security_keys.Unproven:
        raise WrongAnswer from None
    before = factor.data.get(_COUNTER, 0)
    if counter <= before and (counter or before):  # a key that does not count says 0 for ever
        raise CopiedKey
    factor.data[_COUNTER] = counter
    factor.save(update_fields=["data"])
    return factor


@contextmanager
def _alone(person: Staff) -> Iterator[None]:
    """
    One change of somebody's factors at a time, and none by who was locked out meanwhile.

    :param person: as the session was let in
    :raises SessionOver:
    """
    with transaction.atomic():
        held = Staff.objects.select_for_update().get(pk=person.pk)
        let_in, now = person.get_session_auth_hash(), held.get_session_auth_hash()
        if not held.is_active or not constant_time_compare(let_in, now):
            raise SessionOver
        yield


def _typed(code: str) -> str:
    """Return a code as it was meant: full-width digits are digits, what parts them is nothing."""
    return "".join(one for one in unicodedata.normalize("NFKC", code) if one.isalnum())


def _codes(person: Staff) -> RecoveryCodes | None:
    factor = _one(person, _Type.RECOVERY_CODES)
    return RecoveryCodes(factor) if factor else None


def _keys(person: Staff) -> QuerySet[Authenticator]:
    return _all(person).filter(type=_Type.WEBAUTHN).order_by("pk")


def _one(person: Staff, kind: str) -> Authenticator | None:
    rows = _all(person).filter(type=kind)
    if transaction.get_connection().in_atomic_block:
        rows = rows.select_for_update()
    return rows.first()


def _all(person: Staff) -> QuerySet[Authenticator]:
    found: QuerySet[Authenticator] = Authenticator.objects.filter(user=person)
    return found
