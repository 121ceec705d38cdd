"""A patient asks for a copy of their data: the desk and the privacy officer, in a real browser."""

import pyzipper
from django.urls import reverse

from hospital.privacy import packing
from hospital.privacy.models import RightsCopy, RightsRequest
from tests.browser.desk import expect
from tests.hospital.test_correcting import ZHANG, onboard


def test_a_patient_goes_home_with_a_copy_of_their_data(seat, chen, gu, tmp_path):
    patient = onboard()
    desk, office = seat(), seat()
    desk.come_in(chen)
    office.come_in(gu)

    desk.visit(reverse("desk:patient", args=[patient.pk]), "patient")
    desk.press("受理权利请求")
    desk.look("rights-open")
    desk.page.select_option("#id_kind", label="复制")
    desk.press("受理")
    desk.look("right-open")
    desk.page.select_option("#evidence", label="读卡器读取证件")
    desk.press("身份已核验")
    request = RightsRequest.objects.get()
    expect(desk.page.locator("body")).to_contain_text("等待个保负责人同意提供副本")

    office.open(reverse("admin:index"))
    office.look("officer-home")
    office.open(reverse("desk:rights"))
    office.look("rights")
    office.page.get_by_role("link", name="办理").click()
    office.look("right-officer")
    office.press("同意提供副本")

    desk.visit(reverse("desk:right", args=[request.pk]), "right-agreed")
    desk.press("制作副本")
    desk.look("copy")
    desk.press("制作副本")
    desk.look("copy-password")
    password = desk.page.locator(".code").inner_text()
    with desk.page.expect_download() as started:
        desk.page.get_by_role("button", name="领取副本").click()
    file = tmp_path / "taken.zip"
    started.value.save_as(file)

    with pyzipper.AESZipFile(file) as archive:
        archive.setpassword(password.encode())
        page = archive.read(packing.PAGE).decode()
    assert ZHANG.real_name in page
    assert ZHANG.document_number in page
    assert not RightsCopy.objects.exists()
    request.refresh_from_db()
    assert request.state == RightsRequest.State.DONE
    desk.visit(reverse("desk:right", args=[request.pk]), "right-done")
    expect(desk.page.locator("body")).to_contain_text("申请人领取副本")
    assert ZHANG.document_number not in desk.page.content()
