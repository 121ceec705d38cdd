"""
What a 服务商 runs so that its hospitals need not hold its key: it signs one question, and no other.

It is sent the string to sign and never WeChat's answer. The protocol, and how to run it:
docs/signing-service.md. Knows no Django.
"""

from faceauth.signing.configuration import Configuration, Hospital, UnusableConfiguration
from faceauth.signing.signatory import Signatory

__all__ = ["Configuration", "Hospital", "Signatory", "UnusableConfiguration"]
