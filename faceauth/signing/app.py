"""`SIGNING_CONFIG=… granian --interface wsgi faceauth.signing.app:application`."""

import os
import sys

from faceauth.signing import configuration, journal
from faceauth.signing.signatory import Signatory

try:
    application = Signatory(configuration.from_environment(os.environ))
except configuration.UnusableConfiguration as exc:
    sys.exit(f"签名服务无法启动：{exc}")
journal.to_stdout()
