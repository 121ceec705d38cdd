"""The trail as a table by whoever wants it today: Django's iterator, and what PostgreSQL copies."""

import csv
import io
import json
from collections.abc import Iterator

from django.db import DEFAULT_DB_ALIAS, connections
from django.utils import timezone

from hospital.audit.exporting.tables import LABELS
from hospital.audit.models import Event
from hospital.audit.times import moment


def iterated() -> Iterator[bytes]:
    """Yield a line of CSV for each event, with what the exported table says but place and hash."""
    for event in Event.objects.order_by("id").iterator():
        said = json.loads(event.payload)
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerow(
            [
                event.pk,
                timezone.localtime(moment(event.at_us)).strftime("%Y-%m-%d %H:%M:%S.%f"),
                LABELS.get(event.action, ""),
                event.action,
                event.outcome,
                event.actor_type,
                event.actor_id,
                said["actor"].get("role", ""),
                event.object_type,
                event.object_id,
                event.request_id,
                said["ctx"].get("ip", ""),
                said.get("reason", ""),
                json.dumps(said.get("facts", {}), ensure_ascii=False),
                event.uid,
            ]
        )
        yield text.getvalue().encode()


def copied() -> Iterator[bytes]:
    """Yield a line of CSV for each event, as it is stored: PostgreSQL's \\copy."""
    question = "COPY (SELECT * FROM audit_event ORDER BY id) TO STDOUT (FORMAT csv)"
    own = connections.create_connection(DEFAULT_DB_ALIAS)  # the other one is asked meanwhile
    try:
        with own.cursor() as cursor, cursor.copy(question) as copy:
            for data in copy:
                yield bytes(data)
    finally:
        own.close()
