from django.urls import path

from faceauth import views

urlpatterns = [
    path("authinfo/", views.AuthinfoView.as_view(), name="authinfo"),
    path("notice/", views.NoticeView.as_view(), name="notice"),
    path("heartbeat/", views.HeartbeatView.as_view(), name="heartbeat"),
    path("face-sessions/", views.FaceSessionsView.as_view(), name="face-sessions"),
    path("face-sessions/<uuid:pk>/", views.FaceSessionView.as_view(), name="face-session"),
    path("face-sessions/<uuid:pk>/sighting/", views.SightingView.as_view(), name="sighting"),
    path(
        "face-sessions/<uuid:pk>/authorization/",
        views.AuthorizationView.as_view(),
        name="authorization",
    ),
    path("face-sessions/<uuid:pk>/withdrawal/", views.WithdrawalView.as_view(), name="withdrawal"),
]
