from hospital.desk.views import (
    board,
    consents,
    copies,
    corrections,
    erasing,
    finding,
    handoffs,
    likenesses,
    patient,
    printing,
    registering,
    restriction,
    rights,
    sessions,
)

app_name = "desk"
urlpatterns = [
    *board.urls,
    *sessions.urls,
    *finding.urls,
    *patient.urls,
    *printing.urls,
    *registering.urls,
    *likenesses.urls,
    *corrections.urls,
    *consents.urls,
    *rights.urls,
    *copies.urls,
    *handoffs.urls,
    *restriction.urls,
    *erasing.urls,
]
