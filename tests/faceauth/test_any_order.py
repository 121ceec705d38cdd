"""In whatever order a terminal, a worker and the desk act: WeChat is asked on a consent alone."""

from typing import Any

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from faceauth import onboarding, withdrawal
from faceauth.models import Consent, FaceSession, Merchant
from faceauth.simulator import Simulator
from hospital.patients.models import Patient
from tests.conftest import Kiosk
from tests.faceauth.test_consent import Meanwhile

# Each is what somebody may do at any moment, sensible or not.
ACTS = ["open", "half", "refuse", "see", "yes", "no", "withdraw", "lose", "work", "desk"]
# What happens to everybody's consent while WeChat answers.
WORK = {"work": "", "work_while_withdrawn": "withdraw_all", "work_while_lost": "lose_all"}
ACTS += [name for name in WORK if name not in ACTS]
MEANWHILE = st.lists(st.sampled_from(ACTS), max_size=2)
WAY = ("open", "see", "yes", "work", "work")  # of an honest visit; anything may come between
ORDERS = st.tuples(*(MEANWHILE for _ in WAY)).map(
    lambda between: [act for acts, step in zip(between, WAY, strict=True) for act in (*acts, step)]
)


class Lobby:
    """One kiosk, and the newest of its sessions."""

    def __init__(self, kiosk: Kiosk, simulator: Simulator) -> None:
        self.kiosk = kiosk
        self.simulator = simulator
        self.pk = ""

    def act(self, name: str) -> None:
        if name in WORK:
            self.work(meanwhile=WORK[name])
        else:
            getattr(self, name)()

    def open(self, *, granted: bool = True, purposes: tuple[str, ...] = ("onboarding",)) -> None:
        body = {"notice_version": 3, "granted": granted, "purposes": purposes}
        answer = self.kiosk.post("face-sessions/", body)
        self.pk = answer.json().get("id", self.pk)

    def half(self) -> None:
        """Leave of a consent what does not suffice."""
        Consent.objects.filter(facesession=self.pk or None).update(purposes=["research"])

    def refuse(self) -> None:
        self.open(granted=False, purposes=())

    def see(self) -> None:
        self._post("sighting", {"face_sid": self.simulator.meet("stranger-1")})

    def yes(self) -> None:
        self._post("authorization", {"return_code": "SUCCESS"})

    def no(self) -> None:
        self._post("authorization", {"return_code": "USER_CANCEL"})

    def withdraw(self) -> None:
        self._post("withdrawal", {})

    def lose(self) -> None:
        """Take a consent away behind everybody's back."""
        Consent.objects.filter(facesession=self.pk or None).update(granted=False)

    def lose_all(self) -> None:
        Consent.objects.update(granted=False)

    def withdraw_all(self) -> None:
        for session in FaceSession.objects.all():
            self.kiosk.post(f"face-sessions/{session.pk}/withdrawal/", {})

    def work(self, *, meanwhile: str = "") -> None:
        def client_for(merchant: Merchant) -> Any:
            act = getattr(self, meanwhile) if meanwhile else lambda: None
            return Meanwhile(merchant, act)

        for session in FaceSession.objects.due(timezone.now()):
            onboarding.onboard(session.pk, client_for=client_for, clock=timezone.now)

    def desk(self) -> None:
        for patient in Patient.objects.all():
            withdrawal.withdraw(patient, by=self.kiosk.terminal, at=timezone.now())

    def asked(self) -> int:
        return int(self.simulator.requests()["users"])

    def _post(self, name: str, body: dict[str, str]) -> None:
        if self.pk:
            self.kiosk.post(f"face-sessions/{self.pk}/{name}/", body)


@pytest.fixture
def lobby(kiosk, notice, merchant, simulator):
    return Lobby(kiosk, simulator)


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(acts=ORDERS)
@example(acts=["open", "see", "yes", "lose", "work"])
@example(acts=["open", "see", "yes", "withdraw", "work"])
@example(acts=["open", "see", "yes", "half", "work"])
@example(acts=["open", "see", "yes", "work_while_withdrawn"])
@example(acts=["open", "see", "yes", "work_while_lost"])
def test_wechat_is_asked_on_a_consent_in_force_alone(lobby, acts):
    FaceSession.objects.all().delete()
    Consent.objects.all().delete()
    Patient.objects.all().delete()
    lobby.pk = ""

    for name in acts:
        standing = [
            one.pk
            for one in FaceSession.objects.due(timezone.now()).select_related("consent")
            if one.consent.granted
            and one.consent.withdrawn_at is None
            and "onboarding" in one.consent.purposes
        ]
        before, patients = lobby.asked(), Patient.objects.count()

        lobby.act(name)

        asked = lobby.asked() - before
        assert asked <= (len(standing) if name in WORK else 0)
        assert Patient.objects.count() - patients <= (0 if WORK.get(name) else asked)
    for session in FaceSession.objects.exclude(state="authorized"):
        assert session.answer is None
