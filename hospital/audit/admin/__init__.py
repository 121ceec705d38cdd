"""The auditor's pages, and what other administrators see of the trail."""

from hospital.audit.admin import events

__all__ = ["events"]
