"""Every kind of job by its phases, for whoever shows one."""

from typing import Final

from hospital.crypto.models import Job
from hospital.crypto.rotation import checking, data, indexes, kek

PHASES: Final = {
    Job.Kind.KEK: kek.PHASES,
    Job.Kind.DATA: data.PHASES,
    Job.Kind.INDEX: indexes.PHASES,
    Job.Kind.CHECK: checking.PHASES,
}


def phase_of(job: Job) -> str:
    """Return what a job is doing, in words; "" for one that has not begun or is over."""
    phase = PHASES[Job.Kind(job.kind)].get(job.phase)
    return phase.label if phase else ""
