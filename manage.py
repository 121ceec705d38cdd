#!/usr/bin/env python
import os
import sys

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "hospital.settings")
    from hospital.operations import beginning

    beginning.examine(sys.argv)
    beginning.carry_out(sys.argv)
