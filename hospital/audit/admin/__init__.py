"""The auditor's pages, and what other administrators see of the trail."""

from hospital.audit.admin import events, exports, findings, proposals, reviews

__all__ = ["events", "exports", "findings", "proposals", "reviews"]
