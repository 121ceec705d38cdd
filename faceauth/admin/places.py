from faceauth.models import Consent, FaceSession


def where(visit: FaceSession | Consent) -> str:
    """Text, not the link Django makes of a foreign key: these readers may not open terminals."""
    if visit.terminal is None:
        return "人工窗口"
    return f"{visit.terminal.name}（{visit.terminal}）"
