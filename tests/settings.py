"""The project's settings in a directory of this process's own, with cheap passwords."""

import atexit
import base64
import os
import shutil
import tempfile
from pathlib import Path

VAR = Path(tempfile.mkdtemp(prefix="face-tests-"))
atexit.register(shutil.rmtree, VAR, ignore_errors=True)
for name in ("broker", "broker-control"):
    (VAR / name).mkdir()

os.environ["VAR_DIR"] = str(VAR)
os.environ.setdefault("DEPLOY_LEVEL", "demo")
os.environ.setdefault("HTTPS_ONLY", "0")
os.environ.setdefault("SECRET_KEY", "tests-" + "x" * 50)
os.environ.setdefault("AUDIT_MAC_KEY", base64.b64encode(b"m" * 32).decode())
os.environ.setdefault("CAMPUSES", "main=本部,east=东院区")
os.environ.setdefault("ALLOWED_HOSTS", "testserver,localhost,127.0.0.1")

from hospital.settings import *  # noqa: E402, F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
WHITENOISE_AUTOREFRESH = True
WHITENOISE_USE_FINDERS = True
