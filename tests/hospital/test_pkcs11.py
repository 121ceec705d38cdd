"""On a real PKCS#11 library: SoftHSM, with tokens that live as long as a test."""

import os
import shutil
import subprocess
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path
from uuid import uuid4

import pkcs11
import pytest
from django.core.management import CommandError, call_command
from pkcs11 import Attribute, KeyType, MechanismFlag, ObjectClass, TokenFlag

from hospital.crypto import keyring
from hospital.crypto.models import KeyEpoch
from hospital.crypto.providers import KeyRefused, KeyUnavailable, RootKeyExists, configured, tokens
from hospital.crypto.providers.pkcs11 import Pkcs11Provider
from hospital.crypto.providers.tokens import Token
from hospital.crypto.texts import open_text, seal_text

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN, WRONG = "24681357", "00000000"
KEY, CONTEXT = b"k" * 32, b"epoch 1"

pytestmark = pytest.mark.skipif(
    not LIBRARY.exists() or shutil.which("softhsm2-util") is None,
    reason="no SoftHSM here: apt install softhsm2",
)


@pytest.fixture(autouse=True)
def softhsm(tmp_path, monkeypatch):
    """Return SoftHSM's configuration; it is read whenever the library starts."""
    (tmp_path / "tokens").mkdir()
    file = tmp_path / "softhsm2.conf"
    file.write_text(f"directories.tokendir = {tmp_path / 'tokens'}\nlog.level = ERROR\n")
    monkeypatch.setenv("SOFTHSM2_CONF", str(file))
    tokens.forget()
    yield file
    tokens.forget()


@pytest.fixture
def token(softhsm):
    return insert_token()


@pytest.fixture
def provider(token):
    made = Pkcs11Provider(token=token, key="hospital-root")
    made.create_root()
    return made


def insert_token(pin: str = PIN) -> Token:
    label = f"test-{uuid4().hex[:8]}"
    words = ["--init-token", "--free", "--label", label, "--so-pin", "13572468", "--pin", PIN]
    subprocess.run(["softhsm2-util", *words], check=True, capture_output=True)
    return Token(module=LIBRARY, label=label, pin=pin)


def keys_on(token):
    return token.use(lambda session: len(list(session.get_objects(of_class_secret()))))


def of_class_secret(**more):
    return {Attribute.CLASS: ObjectClass.SECRET_KEY, **more}


def unavailable(act):
    with pytest.raises(KeyUnavailable) as caught:
        act()
    return caught.value.reason


# What is wrapped.


def test_what_the_token_wrapped_opens_in_its_context_only(provider):
    wrapped = provider.wrap(KEY, context=CONTEXT)

    assert len(wrapped) == 12 + 32 + 16
    assert provider.unwrap(wrapped, context=CONTEXT) == KEY
    with pytest.raises(KeyRefused):
        provider.unwrap(wrapped, context=b"epoch 2")


@pytest.mark.parametrize("place", [0, 11, 12, 43, 44, 59])
def test_a_changed_bit_is_refused(provider, place):
    wrapped = bytearray(provider.wrap(KEY, context=CONTEXT))
    wrapped[place] ^= 1

    with pytest.raises(KeyRefused):
        provider.unwrap(bytes(wrapped), context=CONTEXT)


@pytest.mark.parametrize("size", [0, 11, 27, 28, 59])
def test_what_is_cut_off_is_refused(provider, size):
    wrapped = provider.wrap(KEY, context=CONTEXT)

    with pytest.raises(KeyRefused):
        provider.unwrap(wrapped[:size], context=CONTEXT)


def test_what_another_token_wrapped_is_refused(provider):
    other = Pkcs11Provider(token=insert_token(), key="hospital-root")
    tokens.forget()  # it lists its tokens when it starts
    other.create_root()

    with pytest.raises(KeyRefused):
        provider.unwrap(other.wrap(KEY, context=CONTEXT), context=CONTEXT)


def test_the_same_key_is_never_wrapped_the_same_way_twice(provider):
    assert len({provider.wrap(KEY, context=CONTEXT)[:12] for _ in range(8)}) == 8


def test_threads_take_turns(provider):
    def both_ways(number):
        key = bytes([number]) * 32
        return provider.unwrap(provider.wrap(key, context=CONTEXT), context=CONTEXT) == key

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(both_ways, range(24)))


# The root key.


def test_the_root_key_does_not_leave_the_token(provider):
    def take(session):
        [root] = session.get_objects(of_class_secret())
        wrapping = session.generate_key(KeyType.AES, 256, capabilities=MechanismFlag.WRAP)
        with pytest.raises(pkcs11.AttributeSensitive):
            root[Attribute.VALUE]
        with pytest.raises((pkcs11.KeyUnextractable, pkcs11.KeyNotWrappable)):
            wrapping.wrap_key(root)
        with pytest.raises(pkcs11.PKCS11Error):
            root[Attribute.EXTRACTABLE] = True
        with pytest.raises(pkcs11.PKCS11Error):
            root[Attribute.SENSITIVE] = False
        return {
            name: root[Attribute[name]]
            for name in ("LOCAL", "PRIVATE", "NEVER_EXTRACTABLE", "WRAP", "UNWRAP", "DERIVE")
        }

    assert provider.token.use(take, writing=True) == {
        "LOCAL": True,
        "PRIVATE": True,
        "NEVER_EXTRACTABLE": True,
        "WRAP": False,
        "UNWRAP": False,
        "DERIVE": False,
    }


def test_a_root_key_is_made_once(provider):
    wrapped = provider.wrap(KEY, context=CONTEXT)

    with pytest.raises(RootKeyExists):
        provider.create_root()

    assert keys_on(provider.token) == 1
    assert provider.unwrap(wrapped, context=CONTEXT) == KEY


def test_without_a_root_key_the_command_is_named(token):
    reason = unavailable(lambda: Pkcs11Provider(token=token, key="k").wrap(KEY, context=CONTEXT))

    assert "createrootkey" in reason


def test_two_keys_of_one_label_are_not_guessed_between(provider):
    def again(session):
        session.generate_key(KeyType.AES, 256, label="hospital-root", store=True)

    provider.token.use(again, writing=True)

    assert "more than one key" in unavailable(lambda: provider.wrap(KEY, context=CONTEXT))


@pytest.mark.parametrize(
    ("bits", "template"),
    [
        (128, {}),
        (256, {Attribute.EXTRACTABLE: True}),
        (256, {Attribute.SENSITIVE: False}),
        (256, {Attribute.DECRYPT: False}),
    ],
    ids=["short", "extractable", "readable", "one way"],
)
def test_a_key_that_could_leave_is_no_root_key(token, bits, template):
    captive = {Attribute.SENSITIVE: True, Attribute.EXTRACTABLE: False}
    token.use(
        lambda session: session.generate_key(
            KeyType.AES, bits, label="loose", store=True, template=captive | template
        ),
        writing=True,
    )

    reason = unavailable(lambda: Pkcs11Provider(token=token, key="loose").wrap(KEY, context=b""))

    assert "never left its token" in reason


def test_a_token_without_gcm_says_which_mechanism_it_lacks(provider, softhsm):
    softhsm.write_text(softhsm.read_text() + "slots.mechanisms = CKM_AES_KEY_GEN,CKM_AES_CBC\n")
    tokens.forget()

    assert "CKM_AES_GCM" in unavailable(lambda: provider.wrap(KEY, context=CONTEXT))


# The PIN.


def test_a_wrong_pin_is_tried_once_in_a_process(token):
    wrong = Token(module=token.module, label=token.label, pin=WRONG)

    first = unavailable(lambda: keys_on(wrong))
    tokens.forget()

    assert "refused the PIN" in first
    # Not even the right one: this process does not log in any more.
    assert unavailable(lambda: keys_on(token)) == first


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        (TokenFlag.USER_PIN_FINAL_TRY, "one more wrong PIN"),
        (TokenFlag.USER_PIN_LOCKED, "locked"),
    ],
    ids=["last try", "locked"],
)
def test_the_last_try_is_left_to_a_person(flag, said):
    token = Token(module=LIBRARY, label="counted", pin=PIN)

    assert said in unavailable(lambda: token._spare_the_last_try(flag))


def test_an_earlier_mistake_of_somebody_else_does_not_shut_us_out(token):
    token._spare_the_last_try(TokenFlag.USER_PIN_COUNT_LOW)


def test_no_failure_tells_the_pin(token):
    wrong = Pkcs11Provider(token=Token(module=LIBRARY, label=token.label, pin=WRONG), key="k")

    with pytest.raises(KeyUnavailable) as caught:
        wrong.wrap(KEY, context=CONTEXT)

    told = "".join(traceback.format_exception(caught.value)) + caught.value.reason + repr(wrong)
    assert WRONG not in told


# Tokens and libraries that are not there, or not any more.


@pytest.mark.parametrize(
    "module", ["/nowhere/libtoken.so", "/etc/hostname"], ids=["missing", "no library"]
)
def test_a_library_that_is_none_is_named(module):
    reason = unavailable(lambda: keys_on(Token(module=Path(module), label="t", pin=PIN)))

    assert f"PKCS11_MODULE {module}" in reason


def test_a_token_that_is_not_there_is_unavailable(token):
    absent = Pkcs11Provider(token=Token(module=LIBRARY, label="absent", pin=PIN), key="k")

    assert "NoSuchToken" in unavailable(lambda: absent.wrap(KEY, context=CONTEXT))


def test_a_token_that_was_put_in_later_is_found(provider):
    other = insert_token()

    assert keys_on(other) == 0


def test_a_token_that_was_taken_out_and_put_back_works_again(provider, softhsm):
    wrapped = provider.wrap(KEY, context=CONTEXT)
    inside, outside = softhsm.parent / "tokens", softhsm.parent / "drawer"
    inside.rename(outside)
    inside.mkdir()

    unavailable(lambda: provider.unwrap(wrapped, context=CONTEXT))
    inside.rmdir()
    outside.rename(inside)

    assert provider.unwrap(wrapped, context=CONTEXT) == KEY


def test_a_login_that_somebody_left_open_is_got_over(provider):
    left = pkcs11.lib(str(LIBRARY)).get_token(token_label=provider.token.label)
    left.open(user_pin=PIN)

    wrapped = provider.wrap(KEY, context=CONTEXT)

    assert provider.unwrap(wrapped, context=CONTEXT) == KEY


def test_a_forked_process_logs_in_for_itself(provider):
    script = f"""
import os, signal, sys
from pathlib import Path
from hospital.crypto.providers.pkcs11 import Pkcs11Provider
from hospital.crypto.providers.tokens import Token
token = Token(module=Path({str(LIBRARY)!r}), label={provider.token.label!r}, pin={PIN!r})
provider = Pkcs11Provider(token=token, key="hospital-root")

def in_a_child(session):
    child = os.fork()  # while the parent is logged in, and it is its thread's turn
    if child == 0:
        signal.alarm(20)  # seconds; one that waits for its parent's turn waits for ever
        os._exit(provider.unwrap(wrapped, context=b"c") != b"k" * 32)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

wrapped = provider.wrap(b"k" * 32, context=b"c")
code = token.use(in_a_child)
sys.exit(code or provider.unwrap(wrapped, context=b"c") != b"k" * 32)
"""
    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ended.returncode == 0, ended.stderr


# Configured.


@pytest.fixture
def configuration(token, settings):
    settings.KEY_PROVIDER = "pkcs11"
    settings.PKCS11_MODULE = str(LIBRARY)
    settings.PKCS11_TOKEN, settings.PKCS11_PIN = token.label, token.pin
    settings.PKCS11_KEY = "hospital-root"
    return settings


def test_the_keys_of_patients_hang_from_the_token(configuration, db):
    said = StringIO()
    call_command("createrootkey", stdout=said)
    row = uuid4()
    sealed = seal_text("张三", context="test.name", row=row)
    keyring.clear()

    assert "根密钥已生成" in said.getvalue()
    assert open_text(sealed, context="test.name", row=row) == "张三"
    assert KeyEpoch.objects.get().provider == configured.provider("pkcs11").name


def test_the_command_replaces_no_key(configuration, token):
    call_command("createrootkey", stdout=StringIO())

    with pytest.raises(CommandError, match="已存在") as caught:
        call_command("createrootkey")

    assert caught.value.returncode == 1
    assert keys_on(token) == 1


def test_the_command_says_why_it_could_not(configuration):
    configuration.PKCS11_TOKEN = "absent"

    with pytest.raises(CommandError, match="absent"):
        call_command("createrootkey")
