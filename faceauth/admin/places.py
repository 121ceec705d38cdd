from faceauth.models import Consent, FaceSession


def where(visit: FaceSession | Consent) -> str:
    """Text, not the link Django makes of a foreign key: these readers may not open terminals."""
    return f"{visit.terminal.name}（{visit.terminal}）"
