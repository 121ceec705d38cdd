"""What stands by for a test's commands changes nothing about them: each is a process of its own."""

import json
import os
import signal

from tests.workplace import Workplace

TELL = (
    "import json, os, sys, tempfile; from django.apps import apps;"
    "said = [os.getpid(), os.environ['DATABASE_URL'], tempfile.gettempdir(), sys.argv];"
    "is_new = 'met' not in os.environ and not hasattr(apps, 'met');"
    "os.environ['met'] = '1'; apps.met = True;"
    "print(json.dumps([*said, is_new, apps.ready]))"
)


def test_each_command_is_a_process_that_remembers_nothing(tmp_path):
    place = Workplace("sqlite://:memory:", tmp_path)
    place.more["TMPDIR"] = str(tmp_path)

    told = [json.loads(place.call("-c", TELL, "word").stdout) for _ in range(2)]

    assert {pid for pid, *_ in told}.isdisjoint({os.getpid()})
    assert len({pid for pid, *_ in told}) == 2
    for _, *rest in told:
        assert rest == ["sqlite://:memory:", str(tmp_path), ["-c", "word"], True, True]


def test_it_ends_as_a_process_does(tmp_path):
    place = Workplace("sqlite://:memory:", tmp_path)

    killed = place.call("-c", "import os; print('said', flush=True); os.kill(os.getpid(), 9)")
    refused = place.call("-c", "import sys; sys.exit(3)")
    failed = place.call("-c", "raise ValueError('what')")
    absent = place.call("manage.py", "nothing")

    assert (killed.returncode, killed.stdout) == (-signal.SIGKILL, "said\n")
    assert refused.returncode == 3
    assert (failed.returncode, failed.stderr.splitlines()[-1]) == (1, "ValueError: what")
    assert (absent.returncode, "Unknown command" in absent.stderr) == (1, True)
    assert place.call("-c", "pass").returncode == 0
