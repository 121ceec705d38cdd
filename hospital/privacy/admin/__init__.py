"""What people see of what guards patients' data."""

from hospital.privacy.admin import disclosures, erasures, holds, incidents, retention

__all__ = ["disclosures", "erasures", "holds", "incidents", "retention"]
