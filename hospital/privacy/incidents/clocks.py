"""
Who is to be told of an incident, and by when: T is when it was found.

Of the hours only the four are from a text that was read (国家网络安全事件报告管理办法 第四条, of
operators that are no critical infrastructure); the others are this product's own, to be compared
with what the local authorities lay down.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from hospital.privacy.models import Incident, Notification

Level, Kind, Recipient = Incident.Level, Incident.Kind, Notification.Recipient


@dataclass(frozen=True)
class Clock:
    """:param basis: why so long; shown beside the clock"""

    hours: int
    basis: str

    def due(self, found_at: datetime) -> datetime:
        return found_at + timedelta(hours=self.hours)


MANAGEMENT: Final = Clock(1, "医院应急预案")
_POLICE: Final = Clock(2, "公安机关要求，以主管部门规定为准")
_HEALTH: Final = Clock(2, "卫生健康主管部门要求，以主管部门规定为准")
_CYBERSPACE: Final = Clock(4, "国家网络安全事件报告管理办法 第四条")
# The law says at once, and no hours, whatever the level.
_CYBERSPACE_PERSONAL: Final = Clock(72, "个人信息保护法 第五十七条（立即），72 小时为本院最晚时限")
_SUBJECTS: Final = Clock(72, "个人信息保护法 第五十七条（立即），72 小时为本院最晚时限")

# People's data leaked, was changed, lost or misused; when the system was down it was not.
PERSONAL: Final = frozenset({Kind.LEAK, Kind.TAMPER, Kind.LOSS, Kind.MISUSE})
GRAVE: Final = frozenset({Level.LARGER, Level.MAJOR, Level.CRITICAL})


def demanded(kind: str, level: str) -> Mapping[Notification.Recipient, Clock]:
    """Return who is to be told; before it is classified, whoever is told of all of them."""
    clocks = {Recipient.MANAGEMENT: MANAGEMENT}
    if level and kind in PERSONAL:
        clocks |= {Recipient.CYBERSPACE: _CYBERSPACE_PERSONAL, Recipient.SUBJECTS: _SUBJECTS}
    if level in GRAVE:
        clocks |= {
            Recipient.POLICE: _POLICE,
            Recipient.HEALTH: _HEALTH,
            Recipient.CYBERSPACE: _CYBERSPACE,
        }
    return clocks
