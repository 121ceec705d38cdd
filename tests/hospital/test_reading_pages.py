"""What the auditor reads: found fast and whole, proved before their eyes, and itself on record."""

import base64
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from uuid6 import uuid7

from hospital.audit import canonical, merkle, searching, sequencing, standing
from hospital.audit.actions import Action
from hospital.audit.checkpoint import Note
from hospital.audit.findings import Finding
from hospital.audit.log import Leaf
from hospital.audit.models import Event
from hospital.audit.recording import SYSTEM, record
from hospital.audit.searching import Criteria, Place
from hospital.audit.tree import Tree
from tests.hospital.notarised import House, tamper

pytestmark = pytest.mark.django_db

LIST = "admin:audit_event_changelist"


@pytest.fixture
def house(tmp_path, settings):
    house = House(tmp_path, now=timezone.now())
    settings.TRAIL_VERIFIERS = [str(one) for one in house.verifiers]
    return house


@pytest.fixture
def desk(zhou):
    desk = Client()
    desk.force_login(zhou)
    return desk


def wrote(count=1, *, action=Action.SESSION_EXPIRE, by=SYSTEM, on=None, at=None, **how):
    at = at or timezone.now()
    with transaction.atomic():
        return [
            record(action, by=by, on=on, at=at + timedelta(microseconds=n), **how).pk
            for n in range(count)
        ]


def asked(desk, **query):
    return desk.get(f"{reverse(LIST)}?{urlencode(query)}")


def listed(answer):
    return [row.event.pk for row in answer.context["rows"]]


def walk(desk, answer, link):
    seen = listed(answer)
    while answer.context[link]:
        answer = desk.get(reverse(LIST) + answer.context[link])
        seen += listed(answer)
        assert len(seen) < 1_000  # pages that lead in a circle have no end
    return seen, answer


def test_the_list_shows_the_newest_fifty_and_leads_to_the_rest(desk):
    written = wrote(120)

    seen, last = walk(desk, asked(desk, action="session.expire"), "older")

    assert seen == written[::-1]
    assert len(listed(last)) == 20


def test_the_way_back_shows_the_same_pages(desk):
    written = wrote(120)
    _, last = walk(desk, asked(desk, action="session.expire"), "older")

    back = desk.get(reverse(LIST) + last.context["newer"])

    assert listed(back) == written[::-1][50:100]
    first = desk.get(reverse(LIST) + back.context["newer"])
    assert listed(first) == written[::-1][:50]
    assert not first.context["newer"]


def test_events_of_one_microsecond_are_neither_lost_nor_shown_twice(desk):
    at = timezone.now()
    written = [wrote(at=at)[0] for _ in range(70)]

    seen, _ = walk(desk, asked(desk, action="session.expire"), "older")

    assert seen == written[::-1]


def test_nothing_is_counted_and_nothing_skipped(desk):
    wrote(60)

    with CaptureQueriesContext(connection) as queries:
        asked(desk)

    said = " ".join(query["sql"] for query in queries if "audit_event" in query["sql"]).upper()
    assert "COUNT(" not in said
    assert "OFFSET" not in said


@pytest.fixture
def mixed(chen, lin):
    """One event that all filters find, and each time one that only differs in what they ask."""
    now = timezone.now()
    common = {"action": Action.ROLE_ASSIGN, "by": lin, "on": chen, "at": now}
    [wanted] = wrote(**common, before="", after="auditor")
    wrote(**{**common, "action": Action.STAFF_CHANGE}, fields=["role"])
    wrote(**{**common, "by": chen}, before="", after="auditor")
    wrote(**{**common, "on": lin}, before="", after="auditor")
    wrote(**common, outcome="denied", before="", after="auditor")
    wrote(**{**common, "at": now - timedelta(hours=2)}, before="", after="auditor")
    return wanted, now


def test_every_filter_narrows_and_all_of_them_agree(desk, mixed, chen, lin):
    wanted, now = mixed
    minute = timezone.localtime(now).strftime("%Y-%m-%dT%H:%M")
    filters = {
        "action": "role.assign",
        "actor": "lin",
        "object_type": "accounts.staff",
        "object_id": str(chen.pk),
        "outcome": "success",
        "since": minute,
        "until": minute,
    }

    answer = asked(desk, **filters)

    assert listed(answer) == [wanted]
    for one in ("action", "actor", "object_id", "outcome", "since"):
        without = {name: value for name, value in filters.items() if name != one}
        assert len(listed(asked(desk, **without))) == 2, one


def test_an_actor_is_found_by_staff_number_or_id(desk, chen):
    wrote(by=chen, action=Action.LOGOUT)

    by_number, by_id = asked(desk, actor="chen"), asked(desk, actor=str(chen.pk))

    assert listed(by_number) == listed(by_id) != []
    assert "chen（chen）" in by_number.text


def test_a_staff_number_nobody_has_is_said_so(desk):
    answer = asked(desk, actor="nobody")

    assert "没有这个工号" in answer.text
    assert listed(answer) == []


def test_a_leaf_is_found_however_old(desk, house):
    house.later(days=-400)
    [old] = house.seal()
    index = Leaf.objects.get(event_id=old).index

    assert listed(asked(desk, index=index)) == [old]
    assert old not in listed(asked(desk))


def test_a_leaf_is_looked_for_with_all_else_that_is_asked(desk, house):
    [event] = house.seal()
    index = Leaf.objects.get(event_id=event).index

    assert listed(asked(desk, index=index, action="session.expire", outcome="success")) == [event]
    assert listed(asked(desk, index=index, action="auth.login")) == []
    assert listed(asked(desk, index=index, outcome="denied")) == []


def test_forged_times_far_ahead_hide_nothing(desk):
    written = wrote(60)
    for n in range(51):
        insert(f'{{"t":{10**18 + n},"action":"session.expire","outcome":"success"}}', number=n)

    week, _ = walk(desk, asked(desk, action="session.expire"), "older")
    everything, _ = walk(desk, asked(desk, action="session.expire", span="all"), "older")

    assert week == written[::-1]
    assert everything[51:] == written[::-1]
    assert len(everything) == 111


@pytest.mark.parametrize("place", ["x", "9" * 40 + ".1", f"{2**63}.1", f"1.{2**63}", "１.２"])
@pytest.mark.parametrize("end", ["before", "after"])
def test_a_place_that_is_none_is_not_the_first_page(desk, place, end):
    wrote(3)

    answer = asked(desk, **{end: place})

    assert listed(answer) == []
    assert "无法定位这一页" in answer.text


def test_an_id_without_its_kind_is_looked_for_in_the_last_week(desk, chen):
    old = timezone.now() - timedelta(days=20)
    [event] = wrote(action=Action.STAFF_CHANGE, on=chen, at=old, fields=["role"])
    whom = {"object_id": str(chen.pk)}

    assert listed(asked(desk, **whom)) == []
    assert listed(asked(desk, **whom, object_type="accounts.staff")) == [event]


def test_a_question_is_asked_in_nobody_elses_transaction():
    with transaction.atomic(), pytest.raises(RuntimeError):
        searching.page(Criteria())


def test_a_request_is_found_with_all_it_did(desk):
    answer = asked(desk)

    found = asked(desk, request=answer["X-Request-Id"])

    [one] = listed(found)
    assert Event.objects.get(pk=one).request_id == answer["X-Request-Id"]


def test_only_the_last_week_is_looked_at_until_somebody_asks_for_more(desk):
    [old] = wrote(at=timezone.now() - timedelta(days=20))

    narrow, wide = (
        asked(desk, action="session.expire"),
        asked(desk, action="session.expire", span="30"),
    )

    assert listed(narrow) == []
    assert "只看最近 7 天" in narrow.text
    assert listed(wide) == [old]


@pytest.mark.parametrize(
    "query",
    [
        {"before": "x"},
        {"before": "9" * 40 + ".1"},
        {"since": "0001-01-01T00:00"},
        {"until": "9999-12-31T23:59"},
        {"index": "9" * 40},
        {"actor": "\0"},
        {"object_id": "%' OR 1=1 --"},
        {"object_type": "nowhere.nothing"},
        {"object_type": "a.b.c"},
        {"object_type": "\0"},
        {"object_type": "张三"},
        {"object_type": "x" * 129},
        {"object_id": "\0"},
        {"request": "\0"},
        {"span": "1000000"},
        {"action": "retired.tag"},
    ],
)
def test_nonsense_in_the_address_is_a_page_all_the_same(desk, query):
    assert asked(desk, **query).status_code == 200


def test_reading_is_on_record_without_what_was_looked_for(desk, zhou, chen):
    wrote(3)

    answer = asked(desk, actor="chen", object_id="secret-7")

    read = Event.objects.filter(action="trail.read").latest("id")
    facts = json.loads(read.payload)["facts"]
    assert answer.status_code == 200
    assert read.actor_id == str(zhou.pk)
    assert facts == {
        "count": 0,
        "filters": ["actor", "object_id", "since", "until"],
        "route": "audit_event_changelist",
    }
    assert "secret-7" not in read.payload


def test_looking_at_one_event_is_on_record_with_which(desk):
    [one] = wrote()

    desk.get(reverse("admin:audit_event_change", args=[one]))

    read = Event.objects.filter(action="trail.read").latest("id")
    assert (read.object_type, read.object_id) == ("audit.event", str(one))


def test_the_standing_refreshes_without_flooding_the_trail(desk):
    before = Event.objects.count()

    answer = desk.get(reverse("admin:audit_event_standing"), headers={"X-Desk-Refresh": "1"})

    assert answer.status_code == 200
    assert 'id="live"' in answer.text
    assert Event.objects.count() == before


@pytest.mark.parametrize("name", ["lin", "mei", "chen", "gu"])
@pytest.mark.parametrize("page", ["change", "proof", "line", "standing"])
def test_nobody_else_reads_the_trail(request, name, page):
    [one] = wrote()
    other = Client()
    other.force_login(request.getfixturevalue(name))

    answer = other.get(
        reverse(f"admin:audit_event_{page}", args=[] if page == "standing" else [one])
    )

    assert answer.status_code == 403


# One event


def opened(desk, pk):
    return desk.get(reverse("admin:audit_event_change", args=[pk]))


def test_an_event_is_pending_then_notarised_then_witnessed(desk, house):
    [pending] = house.write()
    assert opened(desk, pending).context["state"] == "待签名"

    house.notary().step(now=house.now)
    assert opened(desk, pending).context["state"] == "已签名"

    house.seal(witnessed=True)
    answer = opened(desk, pending)
    assert answer.context["state"] == "已见证"
    assert answer.context["faults"] == []


def test_the_list_says_the_same(desk, house):
    house.seal(witnessed=True)
    house.seal()
    house.write()

    rows = asked(desk, action="session.expire").context["rows"]

    assert [row.state.value for row in rows] == ["待签名", "已签名", "已见证"]
    assert [row.index for row in rows] == [None, 2, 1]


def test_a_late_cosignature_counts(desk, house):
    house.is_witness_away = True
    notary = house.notary(witnessed=True)
    [event] = house.write()
    notary.step(now=house.now)
    house.is_witness_away = False
    house.later(minutes=1)
    notary.step(now=house.now)

    assert opened(desk, event).context["state"] == "已见证"


def test_without_a_key_nothing_is_called_notarised(desk, house, settings):
    [event] = house.seal()
    settings.TRAIL_VERIFIERS = []

    assert opened(desk, event).context["state"] == "签名未核验"


def test_a_checkpoint_somebody_else_signed_is_said_so(desk, house, settings, tmp_path):
    [event] = house.seal()
    settings.TRAIL_VERIFIERS = [str(House(tmp_path / "other").signer.verifier)]

    answer = opened(desk, event)

    assert answer.context["state"] == "核验不通过"
    assert "没有有效签名" in answer.text


def test_the_proof_that_is_given_out_proves_the_line_that_is(desk, house):
    events = house.seal(7)
    house.seal(3)
    pk = events[4]

    proof = desk.post(reverse("admin:audit_event_proof", args=[pk]))
    line = desk.post(reverse("admin:audit_event_line", args=[pk]))

    header, index, *hashes = proof.content.decode().split("\n\n", 1)[0].split("\n")
    note = Note.parse(proof.content.decode().split("\n\n", 1)[1])
    assert header == "c2sp.org/tlog-proof@v1"
    place = Leaf.objects.get(event_id=pk).index
    assert index == f"index {place}"
    note.verify(house.signer.verifier)
    root = path_root(merkle.leaf_hash(line.content), place, note.checkpoint.size, hashes)
    assert root == note.checkpoint.root
    assert "no-store" in proof["Cache-Control"]
    assert proof["Content-Disposition"] == f'attachment; filename="{place}.tlog-proof"'


@pytest.mark.parametrize("page", ["proof", "line"])
def test_nothing_is_saved_by_a_link(desk, house, page):
    [event] = house.seal()

    assert desk.get(reverse(f"admin:audit_event_{page}", args=[event])).status_code == 405


def path_root(leaf, index, size, hashes):
    """The verification of RFC 9162 2.1.3.2, word by word."""
    fn, sn, r = index, size - 1, leaf
    for p in map(base64.b64decode, hashes):
        assert sn
        if fn & 1 or fn == sn:
            r = merkle.node_hash(p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = merkle.node_hash(r, p)
        fn, sn = fn >> 1, sn >> 1
    assert not sn
    return r


def test_a_line_that_was_changed_is_said_so(desk, house):
    [event] = house.seal()
    line = Event.objects.get(pk=event).payload.replace("session.expire", "session.open")
    tamper("UPDATE audit_event SET payload = %s WHERE id = %s", [line, event])

    answer = opened(desk, event)

    assert answer.context["state"] == "核验不通过"
    assert "校验码不符" in answer.text
    assert "内容与封存时不同" in answer.text


def test_a_leaf_that_was_changed_is_said_so(desk, house):
    events = house.seal(3)
    tamper("UPDATE audit_leaf SET hash = %s WHERE event_id = %s", [b"x" * 32, events[1]])

    answer = opened(desk, events[0])

    assert answer.context["state"] == "核验不通过"
    assert "封存的散列与检查点" in answer.text
    assert desk.post(reverse("admin:audit_event_proof", args=[events[0]])).status_code == 404


@pytest.mark.parametrize("payload", ['{"t":99999999999999999}', "{}", '{"facts":[],"actor":7}'])
def test_a_forged_line_stops_no_page(desk, payload):
    forged = insert(payload)

    answers = [asked(desk, span="all"), opened(desk, forged), desk.get(reverse("admin:index"))]

    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert "校验码不符" in answers[1].text


def insert(payload, *, number=7):
    values = [UUID(int=number).hex, payload, b"x", 1]
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audit_event (uid, payload, mac, mac_key) VALUES (%s, %s, %s, %s)", values
        )
    return Event.objects.latest("id").pk


def test_every_field_of_a_line_is_told_in_chinese(desk, lin, chen):
    with transaction.atomic():
        event = record(
            Action.ROLE_ASSIGN, by=lin, on=chen, at=timezone.now(), before="", after="auditor"
        )

    told = dict(pair for _, facts in opened(desk, event.pk).context["sections"] for pair in facts)

    assert told["行为"] == "分配角色（role.assign）"
    assert told["结果"] == "成功"
    assert told["级别"] == "警告"
    assert told["行为人"] == "人员 lin（lin）"
    assert told["当时的角色"] == "系统管理员"
    assert told["对象"] == "账号"
    assert told["之后"] == "auditor"
    assert told["之前"] == "—"


# The standing


def test_the_standing_follows_the_log(house):
    fresh = standing.standing(house.now)
    house.seal(3, witnessed=True)
    house.notary(witnessed=True).anchor(now=house.now)
    house.later(seconds=30)
    house.write(2)
    house.later(seconds=90)

    then = standing.standing(house.now)

    assert (fresh.size, fresh.pending, fresh.lag_seconds, fresh.signed_at) == (0, 0, 0, None)
    assert (then.size, then.witnessed, then.pending) == (3, 3, 2)
    assert then.lag_seconds == 90
    assert then.is_late
    assert then.unwitnessed_seconds == 0
    assert then.anchored == {"file": 120}
    assert then.verified is None


def test_a_verification_that_somebody_forged_says_nothing(house):
    facts = {"is_full": True, "is_anchored": True, "size": 9, "count": 9, "findings": 0}
    with transaction.atomic():
        genuine = record(Action.AUDIT_VERIFY, by=SYSTEM, on=None, at=house.now, **facts)
        record(Action.AUDIT_VERIFY, by=SYSTEM, on=None, at=house.now + timedelta(days=400), **facts)
    line = json.loads(genuine.payload) | {"uid": str(uuid7()), "t": genuine.at_us + 1}
    Event(uid=UUID(line["uid"]), payload=canonical.line(line), mac=b"x" * 32, mac_key=1).save()

    then = standing.standing(house.now + timedelta(hours=1))

    assert then.verified_at == house.now


@pytest.mark.postgresql
def test_times_without_end_do_not_keep_the_standing_from_being_told(house):
    house.seal()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audit_anchor (size, sink, at, receipt) VALUES (1, 'file', 'infinity', '')"
        )
        cursor.execute(
            "INSERT INTO audit_checkpoint (size, root, note, created_at)"
            " VALUES (900, '', '', 'infinity')"
        )

    then = standing.standing(house.now)

    assert (then.size, then.anchored) == (1, {})


def test_a_witness_that_is_away_shows(house):
    house.seal(witnessed=True)
    house.later(seconds=10)
    house.seal()
    house.later(seconds=20)

    then = standing.standing(house.now)

    assert (then.size, then.witnessed) == (2, 1)
    assert then.unwitnessed_seconds == 20


def test_what_is_sealed_and_not_signed_is_late_too(house):
    house.seal()
    house.write()
    sequencing.sequence(Tree.load(), at=house.now)
    house.later(seconds=61)

    then = standing.standing(house.now)

    assert then.pending == 0
    assert then.is_late


def test_a_key_that_is_none_is_told_on_the_page(desk, house, settings):
    [event] = house.seal()
    settings.TRAIL_VERIFIERS = ["nonsense"]

    answers = [
        desk.get(reverse("admin:audit_event_standing")),
        opened(desk, event),
        asked(desk),
        desk.get(reverse("admin:index")),
    ]

    assert all("TRAIL_VERIFIERS 里有一个不是公钥" in answer.text for answer in answers)


# Findings and banners


@pytest.fixture
def finding():
    return Finding.objects.create(
        kind="notary-late",
        key="notary-late::1",
        severity="alert",
        at=timezone.now(),
        facts={"seconds": 90, "count": 1},
    )


def test_the_auditor_settles_a_finding_once_and_on_record(desk, zhou, finding):
    settle = reverse("admin:audit_finding_settle", args=[finding.pk])

    first = desk.post(settle, {"state": "handled", "note": "重启了签名进程"}, follow=True)
    second = desk.post(settle, {"state": "incident", "note": "再来一次"}, follow=True)

    finding.refresh_from_db()
    assert (finding.state, finding.note, finding.settled_by) == (
        "handled",
        "重启了签名进程",
        zhou.pk,
    )
    assert "已处置" in first.text
    assert "这项发现已经处置过" in second.text
    [event] = Event.objects.filter(action="finding.settle")
    assert event.object_id == str(finding.pk)
    assert json.loads(event.payload)["reason"] == "重启了签名进程"


def test_a_note_reverses_no_reading(desk, finding):
    settle = reverse("admin:audit_finding_settle", args=[finding.pk])

    desk.post(settle, {"state": "handled", "note": "a\u202ebc"})

    finding.refresh_from_db()
    [event] = Event.objects.filter(action="finding.settle")
    assert finding.note == json.loads(event.payload)["reason"] == "a\ufffdbc"


@pytest.mark.parametrize("typed", [{}, {"state": "handled"}, {"state": "open", "note": "x"}])
def test_a_settlement_needs_a_state_and_a_note(desk, finding, typed):
    answer = desk.post(reverse("admin:audit_finding_settle", args=[finding.pk]), typed)

    finding.refresh_from_db()
    assert answer.status_code == 200
    assert "errorlist" in answer.text
    assert finding.state == "open"


@pytest.mark.parametrize("name", ["lin", "mei", "chen", "gu"])
def test_nobody_else_settles(request, name, finding):
    other = Client()
    other.force_login(request.getfixturevalue(name))

    answer = other.post(
        reverse("admin:audit_finding_settle", args=[finding.pk]), {"state": "handled", "note": "x"}
    )

    finding.refresh_from_db()
    assert answer.status_code == 403
    assert finding.state == "open"


def test_settling_is_never_a_link(desk, finding):
    assert desk.get(reverse("admin:audit_finding_settle", args=[finding.pk])).status_code == 405


def test_open_findings_come_first(desk, finding):
    later = Finding.objects.create(
        kind="silence", key="silence::1", severity="alert", at=timezone.now(), state="handled"
    )

    shown = desk.get(reverse("admin:audit_finding_changelist")).context["cl"].result_list

    assert [one.pk for one in shown] == [finding.pk, later.pk]


@pytest.mark.parametrize(
    ("name", "is_told"), [("zhou", True), ("mei", True), ("lin", False), ("chen", False)]
)
def test_an_open_alert_is_a_banner_until_it_is_settled(request, name, is_told, finding):
    person = Client()
    person.force_login(request.getfixturevalue(name))
    said = "有 1 项审计告警尚未处置"

    before = said in person.get(reverse("admin:index")).text
    Finding.objects.update(state="handled")
    after = said in person.get(reverse("admin:index")).text

    assert (before, after) == (is_told, False)


def test_a_notary_that_stands_still_is_a_banner(desk, mei):
    wrote(at=timezone.now() - timedelta(minutes=5))
    other = Client()
    other.force_login(mei)

    shown = [desk.get(reverse("admin:index")).text, other.get(reverse("admin:index")).text]

    assert all("留痕签名停滞：最早一条已等待 5 分钟" in page for page in shown)
    assert reverse("admin:audit_event_standing") in shown[0]
    assert reverse("admin:audit_event_standing") not in shown[1]


def test_a_log_nobody_verifies_is_a_banner(desk, house):
    house.later(hours=-49)
    house.seal()
    said = "超过 48 小时没有核验留痕"

    before = said in desk.get(reverse("admin:index")).text
    wrote(action=Action.AUDIT_VERIFY, is_full=True, is_anchored=False, size=1, count=1, findings=0)

    assert before
    assert said not in desk.get(reverse("admin:index")).text


def test_home_shows_the_auditor_what_waits(desk, finding):
    shown = desk.get(reverse("admin:index")).text

    assert "1 项待处置" in shown
    assert "留痕超过 60 秒没有签名" in shown


# On the database that has to bear it


@pytest.mark.postgresql
@pytest.mark.parametrize("name", ["object_type", "object_id", "request", "actor"])
def test_a_nul_in_the_address_reaches_no_database(desk, name):
    assert asked(desk, **{name: "\0"}).status_code == 200


@pytest.mark.postgresql
def test_a_question_that_takes_too_long_is_ended(desk, monkeypatch):
    wrote(3)
    monkeypatch.setattr(searching, "PATIENCE", 1)
    monkeypatch.setattr(
        searching, "_matching", lambda _: Event.objects.extra(where=["pg_sleep(1) IS NOT NULL"])
    )

    answer = asked(desk)

    assert "查询超过 5 秒，已停止" in answer.text


@pytest.mark.postgresql
@pytest.mark.parametrize(
    ("criteria", "index"),
    [
        (Criteria(since=datetime(2026, 1, 1, tzinfo=UTC)), "event_time"),
        (Criteria(action="auth.login"), "event_action_time"),
        (Criteria(actor="7"), "event_actor_time"),
        (Criteria(object_type="accounts.staff", object_id="7"), "event_object_time"),
        (Criteria(outcome="denied"), "event_unsuccessful"),
        (Criteria(request="7"), "event_request"),
    ],
)
@pytest.mark.parametrize("where", ["newest", "before", "after"])
def test_every_question_has_an_index(criteria, index, where):
    wrote(5)
    place = Place(0 if where == "after" else 2**60, 0)
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        cursor.execute("SET LOCAL enable_bitmapscan = off")
        # With five rows one index is as good as another.
        if index != "event_time":
            cursor.execute("DROP INDEX event_time")
        with CaptureQueriesContext(connection) as queries:
            searching.page(criteria, **({} if where == "newest" else {where: place}))
        asked_ = next(one["sql"] for one in queries if 'FROM "audit_event"' in one["sql"])
        cursor.execute(f"EXPLAIN {asked_}")
        plan = "\n".join(line for (line,) in cursor.fetchall())

    assert index in plan
