"""Two SDKs of the Node.js world talk to the simulator on its port."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from faceauth.simulator import people

SCRIPTS = Path(__file__).parent / "node"
NODE = shutil.which("node")
SEEN = "stranger-5"

pytestmark = [
    pytest.mark.node,
    pytest.mark.skipif(NODE is None, reason="Node.js tests need node on the PATH"),
    pytest.mark.skipif(
        not (SCRIPTS / "node_modules").is_dir(), reason="Node.js tests need `make .venv/.node`"
    ),
]


@pytest.fixture
def run(papers):
    """Run a script on a task; every task has what the merchant was given."""
    given = {
        "base_url": papers["v3_base_url"],
        "appid": papers["appid"],
        "mch_id": papers["mch_id"],
        "serial": papers["merchant_serial"],
        "private_key": papers.pem("merchant_key"),
        "certificate": papers.pem("merchant_certificate"),
        "apiv2_key": papers["apiv2_key"],
        "apiv3_key": papers["apiv3_key"],
    }

    def outcome(script, **task):
        done = subprocess.run(
            [NODE, "--no-deprecation", str(SCRIPTS / script)],
            env={"PATH": os.environ["PATH"]},  # no proxy: they would send loopback through it
            input=json.dumps({**given, **task}),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return outcome


@pytest.fixture
def question(simulator, papers):
    return {
        "face_sid": simulator.meet(SEEN),
        "params": {"info_type": "ASK_REAL_NAME", "appid": papers["appid"]},
    }


@pytest.fixture
def fields(papers):
    return {
        "store_id": papers["store_id"],
        "store_name": "爱马哥南山店",
        "device_id": "T-1",
        "rawdata": "AAAA+/8=",
        "appid": papers["appid"],
        "mch_id": papers["mch_id"],
        "now": str(int(time.time())),
        "version": "1",
    }


def test_axios_plugin_fetches_the_certificates_and_verifies_their_answer(run, papers):
    outcome = run("axios_plugin.cjs", act="certificates")

    assert outcome.get("status") == 200, outcome
    assert outcome["certificates"] == {
        papers["platform_serial"]: papers.pem("platform_certificate")
    }


def test_axios_plugin_signs_a_query_and_verifies_the_answer(run, question, papers, name_in):
    trusted = {papers["platform_serial"]: papers.pem("platform_certificate")}

    outcome = run("axios_plugin.cjs", act="users", certificates=trusted, **question)

    assert outcome.get("status") == 200, outcome
    assert name_in(outcome["body"]) == people.find(SEEN).name


def test_axios_plugin_does_not_believe_a_forged_answer(run, question, papers, simulator):
    trusted = {papers["platform_serial"]: papers.pem("platform_certificate")}
    simulator.expect("forged", endpoint="users")

    outcome = run("axios_plugin.cjs", act="users", certificates=trusted, **question)

    assert outcome["code"] == "EV3_RES_HEADER_SIGNATURE_DIGEST"


def test_axios_plugin_asks_for_a_hospital_whose_key_opens_the_answer(
    run, simulator, partner, hospital, name_in
):
    as_partner = {
        "mch_id": partner["mch_id"],
        "serial": partner["sp_serial"],
        "private_key": partner.pem("sp_key"),
        "certificates": {partner["platform_serial"]: partner.pem("platform_certificate")},
    }
    params = {
        "info_type": "ASK_REAL_NAME",
        "appid": partner["appid"],
        "sub_mchid": hospital["sub_mch_id"],
        "sub_serial_no": hospital["sub_serial_no"],
    }
    sid = simulator.meet(SEEN, sub_mch_id=hospital["sub_mch_id"])

    outcome = run("axios_plugin.cjs", act="users", **as_partner, face_sid=sid, params=params)

    assert outcome.get("status") == 200, outcome
    assert name_in(outcome["body"], pem=hospital.pem("key")) == people.find(SEEN).name


@pytest.mark.parametrize("sign_type", ["MD5", "HMAC-SHA256"])
def test_axios_plugin_signs_for_an_authinfo_and_verifies_it(run, fields, sign_type):
    outcome = run("axios_plugin.cjs", act="authinfo", fields={**fields, "sign_type": sign_type})

    assert outcome.get("status") == 200, outcome
    assert outcome["fields"]["return_code"] == "SUCCESS"
    assert outcome["fields"]["authinfo"]


def test_axios_plugin_does_not_believe_a_forged_authinfo(run, fields, simulator):
    simulator.expect("forged", endpoint="authinfo")

    outcome = run("axios_plugin.cjs", act="authinfo", fields={**fields, "sign_type": "MD5"})

    assert outcome["code"] == "EV2_RES_SIGNATURE_NOT_EQUAL"


def test_node_v3_fetches_certificates_signs_a_query_and_can_verify(run, question, papers, name_in):
    platform = x509.load_pem_x509_certificate(papers.pem("platform_certificate").encode())

    outcome = run("node_v3.cjs", **question)

    assert outcome.get("verified") is True, outcome
    assert name_in(outcome["body"]) == people.find(SEEN).name
    learned = outcome["certificates"][papers["platform_serial"]]
    spki = platform.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    assert learned.split() == spki.decode().split()


def test_node_v3_asked_to_verify_does_not_believe_a_forged_answer(run, question, simulator):
    simulator.expect("forged", endpoint="users")

    outcome = run("node_v3.cjs", **question)

    assert outcome.get("verified") is False, outcome
    assert outcome["status"] == 200


def test_node_v3_verifies_with_the_certificate_of_a_rotation(run, question, simulator):
    simulator.expect("rotating", times=0)

    outcome = run("node_v3.cjs", **question)

    assert outcome.get("verified") is True, outcome
    assert len(outcome["certificates"]) == 2
