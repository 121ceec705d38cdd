from hospital.desk.views import (
    board,
    corrections,
    finding,
    likenesses,
    patient,
    printing,
    registering,
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
]
