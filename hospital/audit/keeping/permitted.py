"""
When the database lets an event go, or its text: what its triggers ask, in SQL.

The permission is data. Somebody asked, another person approved, both said so in the part of the
trail that is signed, nobody took it back, and what was asked for is what happens. Who may say that
something is archived, pruned or redacted is a matter of rights: see `hospital.audit.grants`.

Each condition is one EXISTS over the trigger's OLD and NEW, never NULL, and refuses what it is not
sure of. With PostgreSQL the two functions do it for whoever has no right to change the table; they
ask nothing, since the triggers do.
"""

from typing import Final

MONTHS: Final = 6  # 网络安全法 第二十三条: network logs are kept for at least six months

# What tells of a removal is itself never removed, nor what verification needs to believe it.
LASTING: Final = ("audit.prune", "audit.redact", "proposal.ask", "proposal.decide")
# Only these may be redacted, since somebody's name can have slipped into them. What tells of who
# looked, copied, signed in, got a role or settled a finding stays readable, and so does any action
# that is not named here.
REDACTABLE: Final = (
    "session.",
    "wechat.",
    "authinfo.",
    "patient.",
    "terminal.",
    "store.",
    "merchant.",
    "notice.",
)


def prune_allowed(vendor: str, schema: str = "") -> str:
    """
    Return the condition under which the event OLD may be deleted.

    Its leaf is in a range that was archived, two people decided to prune exactly that range and it
    is not done yet, and the event was recorded and signed more than `MONTHS` months ago.

    :param vendor: postgresql or sqlite
    :param schema: of the tables, quoted; "" where a name finds them
    """
    sql = _postgresql if vendor == "postgresql" else _sqlite
    return sql(_PRUNE, schema)


def redact_allowed(vendor: str, schema: str = "") -> str:
    """
    Return the condition under which the event OLD may become NEW.

    Two people decided to redact exactly this leaf, which neither tells of what one of them did nor
    of what was done to them, it is not done yet, and all that is left of the text is the hash of
    its leaf.
    """
    sql = _postgresql if vendor == "postgresql" else _sqlite
    return sql(_REDACT, schema)


def functions(schema: str) -> dict[str, str]:
    """
    Return PostgreSQL's `audit_prune` and `audit_redact`: signature → body in PL/pgSQL.

    Both return how many rows they changed. SECURITY DEFINER, like the trigger's function.
    """
    leaf = f"{schema}.audit_leaf l"
    return {
        "audit_prune(proposal uuid)": (
            "DECLARE changed bigint; BEGIN"  # noqa: S608
            f" DELETE FROM {schema}.audit_event e USING {leaf}, {schema}.audit_pruned r"
            ' WHERE r.proposal = $1 AND l."index" >= r.start AND l."index" < r."end"'
            f" AND e.id = l.event_id AND {not_lasting('e')};"
            " GET DIAGNOSTICS changed = ROW_COUNT; RETURN changed; END"
        ),
        "audit_redact(proposal uuid, code bytea, code_key integer)": (
            "DECLARE changed bigint; BEGIN"  # noqa: S608
            f" UPDATE {schema}.audit_event e SET payload = {_REDACTED_POSTGRESQL},"
            f" mac = $2, mac_key = $3 FROM {leaf}, {schema}.audit_redacted r"
            ' WHERE r.proposal = $1 AND l."index" = r."index" AND e.id = l.event_id;'
            " GET DIAGNOSTICS changed = ROW_COUNT; RETURN changed; END"
        ),
    }


def not_lasting(event: str) -> str:
    named = ", ".join(f"'{tag}'" for tag in LASTING)
    return f"coalesce({event}.action, '') NOT IN ({named})"


def _readable() -> str:
    # An event whose columns are NULL is redacted already.
    starts = " OR ".join(f"substr(OLD.action, 1, {len(start)}) = '{start}'" for start in REDACTABLE)
    return f"OLD.action IS NOT NULL AND ({starts})"


def _of_others(asker: str, decider: str) -> str:
    return " AND ".join(
        f"coalesce(OLD.{column}, '') NOT IN ({asker}, {decider})"
        for column in ("actor_id", "object_id")
    )


_REDACTED_POSTGRESQL: Final = """'{"redacted":"' || encode(l.hash, 'hex') || '","v":1}'"""

# An event counts once a checkpoint covers its leaf: from then on it cannot be taken away unseen.
_SAID: Final = """
    EXISTS (
      SELECT 1 FROM {schema}audit_event e JOIN {schema}audit_leaf s ON s.event_id = e.id
      WHERE e.object_type = 'audit.proposal' AND e.object_id = {proposal_text}
        AND e.action = 'proposal.ask' AND e.outcome = 'success' AND e.actor_type = 'staff'
        AND e.actor_id = {asker_text} AND {asked}
        AND s."index" < (SELECT max(c.size) FROM {schema}audit_checkpoint c)
    ) AND EXISTS (
      SELECT 1 FROM {schema}audit_event e JOIN {schema}audit_leaf s ON s.event_id = e.id
      WHERE e.object_type = 'audit.proposal' AND e.object_id = {proposal_text}
        AND e.action = 'proposal.decide' AND e.outcome = 'success' AND e.actor_type = 'staff'
        AND e.actor_id = {decider_text} AND {decided}
        AND s."index" < (SELECT max(c.size) FROM {schema}audit_checkpoint c)
    ) AND NOT EXISTS (
      SELECT 1 FROM {schema}audit_event e
      WHERE e.object_type = 'audit.proposal' AND e.object_id = {proposal_text}
        AND e.action = 'proposal.decide' AND ({decided}) IS NOT TRUE
    )"""

_PRUNE: Final = """
  EXISTS (
    SELECT 1 FROM {schema}audit_leaf l
    JOIN {schema}audit_pruned r ON l."index" >= r.start AND l."index" < r."end"
    JOIN {schema}audit_proposal p ON p.id = r.proposal
    WHERE l.event_id = OLD.id
      AND p.kind = 'audit.prune' AND p.state = 'approved' AND p.decided_by <> p.asked_by
      AND {range_is_asked}
      AND EXISTS (
        SELECT 1 FROM {schema}audit_archive a
        WHERE l."index" >= a.start AND l."index" < a."end"
      )
      AND coalesce(OLD.at_us, 0) < {floor_us}
      AND (
        SELECT c.created_at FROM {schema}audit_checkpoint c
        WHERE c.size > l."index" ORDER BY c.size LIMIT 1
      ) < {floor}
      AND {not_lasting}
      AND {said}
  )"""

_REDACT: Final = """
  EXISTS (
    SELECT 1 FROM {schema}audit_leaf l
    JOIN {schema}audit_redacted r ON r."index" = l."index"
    JOIN {schema}audit_proposal p ON p.id = r.proposal
    WHERE l.event_id = OLD.id AND NEW.id = OLD.id AND NEW.uid = OLD.uid {nothing_else}
      AND NEW.payload = {redacted}
      AND p.kind = 'audit.redact' AND p.state = 'approved' AND p.decided_by <> p.asked_by
      AND {leaf_is_asked}
      AND {readable}
      AND {of_others}
      AND {said}
  )"""


def _postgresql(condition: str, schema: str) -> str:
    schema = f"{schema}." if schema else ""
    said = _SAID.format(
        schema=schema,
        proposal_text="p.id::text",
        asker_text="p.asked_by::text",
        decider_text="p.decided_by::text",
        asked="e.payload::jsonb -> 'facts' = p.facts || jsonb_build_object('kind', p.kind)",
        decided=(
            "e.payload::jsonb -> 'facts'"
            " = jsonb_build_object('kind', p.kind, 'decision', 'approved')"
        ),
    )
    floor = f"(now() AT TIME ZONE 'UTC' - interval '{MONTHS} months') AT TIME ZONE 'UTC'"
    return condition.format(
        schema=schema,
        said=said,
        range_is_asked=("p.facts = jsonb_build_object('start', r.start, 'end', r.\"end\")"),
        leaf_is_asked=(
            "p.facts = jsonb_build_object('index', r.\"index\", 'hash', encode(l.hash, 'hex'))"
        ),
        floor=floor,
        floor_us=f"extract(epoch FROM {floor}) * 1000000",
        not_lasting=not_lasting("OLD"),
        readable=_readable(),
        of_others=_of_others("p.asked_by::text", "p.decided_by::text"),
        redacted=_REDACTED_POSTGRESQL,
        # A column of PostgreSQL's own beside the model's: which transaction wrote the event.
        nothing_else=(
            "AND (to_jsonb(NEW) ->> 'txid') IS NOT DISTINCT FROM (to_jsonb(OLD) ->> 'txid')"
        ),
    )


def _sqlite(condition: str, schema: str) -> str:
    said = _SAID.format(
        schema=schema,
        proposal_text=_dashed("p.id"),
        asker_text=_dashed("p.asked_by"),
        decider_text=_dashed("p.decided_by"),
        asked=(
            "json_extract(e.payload, '$.facts.kind') = p.kind"
            + "".join(
                f" AND json_extract(e.payload, '$.facts.{name}')"
                f" IS json_extract(p.facts, '$.{name}')"
                for name in ("start", "end", "index", "hash")
            )
        ),
        decided=(
            "json_extract(e.payload, '$.facts.kind') = p.kind"
            " AND json_extract(e.payload, '$.facts.decision') = 'approved'"
        ),
    )
    # Where a month has no such day SQLite takes one of the next month: up to three days too late.
    ago = f"'now', '-{MONTHS} months', '-3 days'"
    return condition.format(
        schema=schema,
        said=said,
        range_is_asked=(
            "json_extract(p.facts, '$.start') = r.start"
            " AND json_extract(p.facts, '$.end') = r.\"end\""
        ),
        leaf_is_asked=(
            "json_extract(p.facts, '$.index') = r.\"index\""
            " AND json_extract(p.facts, '$.hash') = lower(hex(l.hash))"
        ),
        floor=f"strftime('%Y-%m-%d %H:%M:%S', {ago})",
        floor_us=f"CAST(strftime('%s', {ago}) AS INTEGER) * 1000000",
        not_lasting=not_lasting("OLD"),
        readable=_readable(),
        of_others=_of_others(_dashed("p.asked_by"), _dashed("p.decided_by")),
        redacted="""'{"redacted":"' || lower(hex(l.hash)) || '","v":1}'""",
        nothing_else="",
    )


def _dashed(column: str) -> str:
    """Return a UUID as the trail writes it; Django keeps it in SQLite without dashes."""
    cuts = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
    return " || '-' || ".join(f"substr({column}, {at}, {length})" for at, length in cuts)
