"""Nobody comes in by a password alone, and a second factor proves somebody once."""

import json
import re
import threading
import time
from datetime import timedelta
from io import StringIO

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from django.contrib.auth import SESSION_KEY
from django.contrib.auth.hashers import MD5PasswordHasher
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models import F
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from uuid6 import uuid7

from hospital.accounts import mfa, mfa_sealing, resetting
from hospital.accounts import signing_in as verbs
from hospital.accounts.models import FactorSeal, Staff
from hospital.audit import banners
from hospital.audit.banners import Banner
from hospital.audit.models import Event
from hospital.audit.proposals import Proposal
from hospital.crypto import keyring
from hospital.crypto.models import DataKey
from hospital.crypto.providers.file import FileProvider
from hospital.demo.authenticator import code
from tests import signing_in
from tests.conftest import PASSWORD
from tests.locks import until_waited_for

PASSWORD_PAGE, SECOND_PAGE = "admin:login", "account:second-factor"


@pytest.fixture
def phone(zhou):
    return signing_in.enrolled(zhou)


def with_password(person, **how):
    """Return a browser in which the password was right."""
    client = Client(**how)
    form = {"username": person.username, "password": PASSWORD}
    assert client.post(reverse(PASSWORD_PAGE), form).status_code == 302
    return client


def is_in(client):
    return client.get(reverse("admin:index")).status_code == 200


def facts(action):
    rows = Event.objects.filter(action=action).order_by("pk")
    return [json.loads(row.payload)["facts"] for row in rows]


# The first one


def test_who_has_none_binds_a_phone_and_is_let_in(zhou):
    client = with_password(zhou)
    assert client.get(reverse("admin:index"))["Location"] == reverse("account:enrol")

    phone = signing_in.phone_of(client.get(reverse("account:totp")).text)
    client.post(reverse("account:totp"), {"code": phone.code()})

    assert is_in(client)
    assert facts("auth.mfa_enrol") == [{"factor": "totp"}, {"factor": "recovery"}]
    assert facts("auth.login") == [{"methods": ["password"]}]


def test_a_wrong_code_binds_nothing(zhou):
    client = with_password(zhou)
    client.get(reverse("account:totp"))

    answer = client.post(reverse("account:totp"), {"code": "000000"})

    assert "动态码不正确" in answer.text
    assert not Authenticator.objects.exists()
    assert not is_in(client)


def test_recovery_codes_are_shown_once(zhou):
    client = with_password(zhou)
    phone = signing_in.phone_of(client.get(reverse("account:totp")).text)
    client.post(reverse("account:totp"), {"code": phone.code()})

    first, second = (client.get(reverse("account:codes")).text for _ in range(2))

    assert len(re.findall(r"<code>\d{8}</code>", first)) == 10
    assert not re.search(r"<code>\d{8}</code>", second)
    assert "还剩 10 个" in second


def test_a_session_that_is_half_logged_in_binds_no_second_one(zhou):
    client = with_password(zhou)
    signing_in.enrolled(zhou)  # elsewhere, meanwhile

    answers = [client.get(reverse(f"account:{name}")) for name in ("enrol", "totp", "key")]

    assert [answer["Location"] for answer in answers] == [reverse(PASSWORD_PAGE)] * 3
    zhou.refresh_from_db()
    with pytest.raises(mfa.AlreadyEnrolled):
        mfa.enrol_totp(
            zhou,
            secret="GEZDGNBVGY3TQOJQ",
            code=code("GEZDGNBVGY3TQOJQ", int(time.time()) // 30),
            is_first=True,
            at=timezone.now(),
        )


def test_a_secret_lies_nowhere_in_clear(zhou):
    client = with_password(zhou)
    phone = signing_in.phone_of(client.get(reverse("account:totp")).text)
    assert phone.secret not in json.dumps(dict(client.session))

    client.post(reverse("account:totp"), {"code": phone.code()})

    row = Authenticator.objects.get(type="totp")
    assert phone.secret not in json.dumps(row.data)
    assert mfa_sealing.unsealed(row.data["secret"]) == phone.secret
    assert not Event.objects.filter(payload__contains=phone.secret).exists()


# Logging in


def test_a_password_logs_nobody_in(zhou, phone):
    client = with_password(zhou)

    assert SESSION_KEY not in client.session
    assert client.get(reverse("admin:index"))["Location"].startswith(reverse(PASSWORD_PAGE))
    assert facts("auth.login") == []


def test_a_password_and_a_code_log_in_and_both_are_on_record(client, zhou, phone):
    signing_in.log_in(client, zhou, password=PASSWORD, phone=phone)

    assert is_in(client)
    assert facts("auth.login") == [{"methods": ["password", "totp"]}]


def test_where_somebody_wanted_to_is_where_they_get(zhou, phone, client):
    wanted = reverse("admin:audit_event_changelist")
    form = {"username": "zhou", "password": PASSWORD}

    second = client.post(f"{reverse(PASSWORD_PAGE)}?next={wanted}", form)["Location"]
    answer = client.post(second, {"code": phone.code()})

    assert answer["Location"] == wanted


def test_a_code_counts_once_in_whatever_session(zhou, phone):
    shown = phone.code()
    first, second = with_password(zhou), with_password(zhou)

    first.post(reverse(SECOND_PAGE), {"code": shown})
    second = with_password(zhou)
    second.post(reverse(SECOND_PAGE), {"code": shown})

    assert is_in(first)
    assert not is_in(second)


def test_a_code_of_before_the_last_one_counts_no_more(zhou, phone):
    earlier, later = phone.code(), phone.code()
    with_password(zhou).post(reverse(SECOND_PAGE), {"code": later})
    client = with_password(zhou)

    client.post(reverse(SECOND_PAGE), {"code": earlier})

    assert not is_in(client)


@pytest.mark.parametrize(("steps", "is_right"), [(-2, False), (-1, True), (1, True), (2, False)])
def test_a_clock_may_be_one_step_off(zhou, phone, steps, is_right):
    while time.time() % 30 > 28:  # not across a step
        time.sleep(0.1)
    client = with_password(zhou)

    shown = code(phone.secret, int(time.time()) // 30 + steps)
    client.post(reverse(SECOND_PAGE), {"code": shown})

    assert is_in(client) == is_right


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_one_code_shown_ten_times_at_once_is_right_once(zhou, phone):
    shown, right, start = phone.code(), [], threading.Barrier(10)

    def show():
        start.wait()
        try:
            mfa.shown(zhou, code=shown, at=timezone.now())
            right.append(True)
        except mfa.WrongAnswer:
            pass
        connection.close()

    threads = [threading.Thread(target=show) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert right == [True]


def test_a_recovery_code_counts_once_and_is_named_in_the_record(zhou, phone):
    [shown, *_] = mfa.codes_to_show(zhou)
    first = with_password(zhou)
    first.post(reverse(SECOND_PAGE), {"code": shown})
    second = with_password(zhou)
    second.post(reverse(SECOND_PAGE), {"code": shown})

    assert is_in(first)
    assert not is_in(second)
    assert mfa.codes_left(zhou) == 9
    assert facts("auth.login") == [{"methods": ["password", "recovery"]}]
    assert facts("auth.login_failed")[0]["factor"] == "recovery"


def test_a_wrong_code_is_on_record_without_what_was_typed(zhou, phone):
    client = with_password(zhou)

    answer = client.post(reverse(SECOND_PAGE), {"code": "123 456"})

    assert "验证没有通过" in answer.text
    assert "123 456" not in json.dumps(facts("auth.login_failed"))
    assert facts("auth.login_failed")[0]["factor"] == "totp"


def test_wrong_codes_lock_like_wrong_passwords(zhou, phone):
    client = with_password(zhou)
    for _ in range(5):
        client.post(reverse(SECOND_PAGE), {"code": "000000"})

    client.post(reverse(SECOND_PAGE), {"code": phone.code()})

    assert not is_in(client)
    again = {"username": "zhou", "password": PASSWORD}
    assert "工号或密码不正确" in Client().post(reverse(PASSWORD_PAGE), again).text


@pytest.mark.parametrize(
    "credential",
    [
        "{}",
        "[]",
        '"x"',
        "1",
        "not json",
        '{"id": "AAAA", "rawId": "AAAA", "type": "public-key", "response": {}}',
        json.dumps(
            {
                "id": "AA",
                "rawId": "AA",
                "type": "public-key",
                "response": dict.fromkeys(
                    ("clientDataJSON", "authenticatorData", "signature"), "AA"
                ),
            }
        ),
    ],
)
def test_nonsense_from_a_key_is_wrong_and_breaks_nothing(zhou, phone, credential):
    client = with_password(zhou)

    answer = client.post(reverse(SECOND_PAGE), {"code": "", "credential": credential})

    assert answer.status_code == 200
    assert not is_in(client)


def test_nobody_is_awaited_after_five_minutes(zhou, phone, rf):
    client = with_password(zhou)
    request = rf.get("/")
    request.session = client.session

    assert verbs.awaited(request, at=timezone.now()) == zhou
    assert verbs.awaited(request, at=timezone.now() + timedelta(minutes=5)) is None


@pytest.mark.parametrize(
    "change",
    [{"is_active": False}, {"valid_until": timezone.now()}, {"password": "!"}, {"role": ""}],
)
def test_nobody_is_awaited_whose_account_changed_meanwhile(zhou, phone, change):
    client = with_password(zhou)
    Staff.objects.filter(pk=zhou.pk).update(**change)

    answer = client.post(reverse(SECOND_PAGE), {"code": phone.code()})

    assert answer["Location"].startswith(reverse(PASSWORD_PAGE))
    assert not is_in(client)


def test_what_is_wrong_with_an_account_the_answer_does_not_say(lin, mei, zhou, chen, gu):
    Staff.objects.filter(pk=mei.pk).update(is_active=False)
    Staff.objects.filter(pk=zhou.pk).update(valid_until=timezone.now())
    signing_in.enrolled(gu)
    for _ in range(5):  # from elsewhere: an address has its own limit
        form = {"username": "chen", "password": "wrong"}
        Client().post(reverse(PASSWORD_PAGE), form, REMOTE_ADDR="10.1.1.1")

    def told(username, password):
        form = {"username": username, "password": password}
        answer = Client().post(reverse(PASSWORD_PAGE), form, REMOTE_ADDR="10.1.1.1")
        page = re.sub(r'name="csrfmiddlewaretoken" value="\w+"', "", answer.text)
        return answer.status_code, page.replace(f'value="{username}"', "")

    asked = [
        ("nobody", PASSWORD),
        ("lin", "wrong"),
        ("gu", "wrong"),
        ("mei", PASSWORD),
        ("zhou", PASSWORD),
        ("chen", PASSWORD),
    ]
    assert len({told(*pair) for pair in asked}) == 1


def test_whatever_is_wrong_it_takes_one_hash(lin, zhou, settings):
    work = []
    settings.PASSWORD_HASHERS = ["tests.hospital.test_second_factor.Counting"]
    Counting.work = work
    Staff.objects.filter(pk=zhou.pk).update(is_active=False)
    for person in (lin, zhou):
        person.set_password(PASSWORD)
        Staff.objects.filter(pk=person.pk).update(password=person.password)

    def cost(username, password):
        work.clear()
        Client().post(reverse(PASSWORD_PAGE), {"username": username, "password": password})
        return len(work)

    unknown, wrong, stopped = cost("nobody", "x"), cost("lin", "x"), cost("zhou", PASSWORD)
    for _ in range(5):
        cost("lin", "x")
    locked = cost("lin", PASSWORD)

    assert [unknown, wrong, stopped, locked] == [1, 1, 1, 1]


# One's own


@pytest.fixture
def zhous(client, zhou, phone):
    signing_in.log_in(client, zhou, password=PASSWORD, phone=phone)
    return client


def with_key(person):
    data = {"name": "备用", "credential": {}}
    return Authenticator.objects.create(user=person, type="webauthn", data=data)


def test_the_last_one_stays(zhous, zhou):
    [factor] = mfa.factors_of(zhou)

    answer = zhous.post(reverse("account:remove", args=[factor.pk]), follow=True)

    assert "至少保留一种" in answer.text
    assert list(mfa.factors_of(zhou)) == [factor]


def test_one_of_two_is_unbound_on_record(zhous, zhou):
    key = with_key(zhou)

    zhous.post(reverse("account:remove", args=[key.pk]))

    assert not mfa.factors_of(zhou).filter(pk=key.pk).exists()
    assert facts("auth.mfa_remove") == [{"factor": "webauthn"}]


def test_anothers_is_not_found(zhous, mei):
    key = with_key(mei)

    assert zhous.post(reverse("account:remove", args=[key.pk])).status_code == 404
    assert Authenticator.objects.filter(pk=key.pk).exists()


def test_new_recovery_codes_end_the_old_ones(zhous, zhou):
    old = mfa.codes_to_show(zhou)

    zhous.post(reverse("account:codes"))

    assert set(old).isdisjoint(mfa.codes_to_show(zhou))
    assert facts("auth.mfa_enrol")[-1] == {"factor": "recovery"}


@pytest.mark.parametrize("name", ["factors", "totp", "key", "codes"])
def test_ones_own_are_behind_a_second_look(client, zhou, phone, name):
    client.force_login(zhou)  # some time ago

    answer = client.get(reverse(f"account:{name}"))

    assert answer["Location"].startswith(reverse("step-up"))
    assert client.post(reverse(f"account:{name}"))["Location"].startswith(reverse("step-up"))


def test_a_lost_phone_is_replaced_in_one_step(client, zhou, phone):
    free = mfa.codes_to_show(zhou)[0]
    client = with_password(zhou)
    client.post(reverse(SECOND_PAGE), {"code": free})
    new = signing_in.phone_of(client.get(reverse("account:totp")).text)

    answer = client.post(reverse("account:totp"), {"code": new.code()}, follow=True)

    assert "已更换" in answer.text
    assert facts("auth.mfa_remove") == facts("auth.mfa_enrol") == [{"factor": "totp"}]
    before, after = with_password(zhou), with_password(zhou)
    before.post(reverse(SECOND_PAGE), {"code": phone.code()})
    after.post(reverse(SECOND_PAGE), {"code": new.code()})
    assert (is_in(before), is_in(after)) == (False, True)


def test_who_is_locked_out_meanwhile_changes_nothing_more(zhou, phone):
    stale, secret, now = Staff.objects.get(pk=zhou.pk), "GEZDGNBVGY3TQOJQ", timezone.now()
    key = with_key(zhou)
    shown = code(secret, int(time.time()) // 30)
    Staff.objects.filter(pk=zhou.pk).update(session_number=F("session_number") + 1)

    with pytest.raises(mfa.SessionOver):
        mfa.enrol_totp(stale, secret=secret, code=shown, is_first=False, at=now)
    with pytest.raises(mfa.SessionOver):
        mfa.renew_codes(stale, at=now)
    with pytest.raises(mfa.SessionOver):
        mfa.remove(stale, key, at=now)

    assert facts("auth.mfa_enrol") == facts("auth.mfa_remove") == []


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_what_is_bound_while_a_reset_is_carried_out_is_not_bound(lin, zhou, phone):
    stale, secret, refused = Staff.objects.get(pk=zhou.pk), "GEZDGNBVGY3TQOJQ", []
    asked = Proposal(pk=uuid7(), kind=resetting.TAG, asked_by=lin.pk, facts={"staff": str(zhou.pk)})

    def bind():
        shown = code(secret, int(time.time()) // 30)
        try:
            mfa.enrol_totp(stale, secret=secret, code=shown, is_first=False, at=timezone.now())
        except mfa.SessionOver as exc:
            refused.append(exc)
        connection.close()

    thread = threading.Thread(target=bind)
    with transaction.atomic():
        resetting.carry_out(asked, timezone.now())
        thread.start()
        until_waited_for(lambda: not thread.is_alive())
    thread.join()

    assert len(refused) == 1
    assert not Authenticator.objects.exists()


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_code_used_while_the_page_shows_them_stays_used(zhou, phone):
    used = RecoveryCodes.activate(zhou).get_unused_codes()[0]

    def show():
        mfa.codes_to_show(zhou)
        connection.close()

    thread = threading.Thread(target=show)
    with transaction.atomic():
        mfa.shown(zhou, code=used, at=timezone.now())
        thread.start()
        until_waited_for(lambda: not thread.is_alive())
    thread.join()

    with pytest.raises(mfa.WrongAnswer):
        mfa.shown(zhou, code=used, at=timezone.now())


def test_what_is_unbound_twice_is_on_record_once(zhou, phone):
    key = with_key(zhou)
    again = Authenticator.objects.get(pk=key.pk)

    mfa.remove(zhou, key, at=timezone.now())
    mfa.remove(zhou, again, at=timezone.now())

    assert facts("auth.mfa_remove") == [{"factor": "webauthn"}]


@pytest.mark.parametrize("parted", ["{0} {1}", "{0}-{1}", "{0}－{1}", "{0}　{1}", "　{0}{1}。"])
@pytest.mark.parametrize("is_wide", [False, True])
def test_a_code_is_read_however_it_is_typed(zhou, phone, parted, is_wide):
    client, shown = with_password(zhou), phone.code()
    if is_wide:
        shown = shown.translate({ord("0") + one: ord("０") + one for one in range(10)})

    client.post(reverse(SECOND_PAGE), {"code": parted.format(shown[:3], shown[3:])})

    assert is_in(client)


def test_a_recovery_code_is_read_however_it_is_typed(zhou, phone):
    [free, *_] = mfa.codes_to_show(zhou)

    assert mfa.shown(zhou, code=f"{free[:4]}－{free[4:]}", at=timezone.now()) == mfa.RECOVERY


def test_a_page_sent_twice_does_not_end_the_login_of_the_first(zhou, phone):
    client, shown = with_password(zhou), phone.code()
    again = Client()
    again.cookies["sessionid"] = client.cookies["sessionid"].value
    client.post(reverse(SECOND_PAGE), {"code": shown})

    answer = again.post(reverse(SECOND_PAGE), {"code": shown})

    assert "sessionid" not in answer.cookies


def test_who_is_locked_out_reads_that_it_may_be_that(zhou, phone):
    client = with_password(zhou)
    for _ in range(6):
        answer = client.post(reverse(SECOND_PAGE), {"code": "000000"})

    assert "失败次数过多" in answer.text


def test_half_logged_in_nothing_is_told_or_offered(chen, monkeypatch):
    monkeypatch.setattr(banners, "_SOURCES", [lambda _: [Banner("notice", "有人要处理")]])
    client = with_password(chen)

    pages = [client.get(reverse(name)).text for name in ("own-password", "account:enrol")]

    for page in pages:
        assert "有人要处理" not in page
        assert 'id="quick"' not in page
        assert "/admin/desk/" not in page


# Sealing


@pytest.mark.parametrize("what", ["--data", "--kek"])
def test_after_a_change_of_keys_people_get_in(client, zhou, phone, settings, what):
    settings.KEY_CACHE_SECONDS = settings.IN_HAND_SECONDS = 0  # nobody else is at work

    call_command("rotatekeys", what, stdout=StringIO())
    keyring.clear()

    signing_in.log_in(client, zhou, password=PASSWORD, phone=phone)
    assert is_in(client)
    assert {*DataKey.objects.values_list("generation", flat=True)} == {2 if what == "--data" else 1}


def test_without_its_key_a_database_opens_no_secret(zhou, phone):
    client = with_password(zhou)
    FactorSeal.objects.all().delete()

    answer = client.post(reverse(SECOND_PAGE), {"code": phone.code()})

    assert answer.status_code == 503
    assert "密钥打不开" in answer.text
    assert not is_in(client)


def test_without_the_root_key_a_database_opens_no_secret(zhou, phone, settings, tmp_path):
    settings.KEY_FILE = tmp_path / "another.key"
    FileProvider.create(settings.KEY_FILE)
    keyring.clear()

    with pytest.raises(mfa_sealing.Unopenable):
        mfa_sealing.unsealed(Authenticator.objects.get(type="totp").data["secret"])


def test_the_signing_key_has_no_part_in_it(db, settings):
    sealed = mfa_sealing.seal("SECRET")
    settings.SECRET_KEY = "y" * 60

    assert mfa_sealing.unsealed(sealed) == "SECRET"


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_several_that_make_the_first_seal_at_once_every_text_opens():
    start, texts = threading.Barrier(8), []

    def seal():
        start.wait()
        texts.append(mfa_sealing.seal("SECRET"))
        connection.close()

    threads = [threading.Thread(target=seal) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [mfa_sealing.unsealed(text) for text in texts] == ["SECRET"] * 8
    assert FactorSeal.objects.count() == 1


@pytest.mark.parametrize("change", [lambda it: it[:-4] + "AAA=", lambda it: it[3:], lambda _: "x"])
def test_a_changed_secret_does_not_open(db, change):
    with pytest.raises(mfa_sealing.Unopenable):
        mfa_sealing.unsealed(change(mfa_sealing.seal("SECRET")))


class Counting(MD5PasswordHasher):
    """Counts how often a password is hashed."""

    algorithm = "counting"
    work: list[str] = []

    def encode(self, password, salt):
        self.work.append("hash")
        return super().encode(password, salt)
