"""What the generated OpenAPI description adds to what the views say."""

from typing import Any

from drf_spectacular.openapi import AutoSchema

from hospital.api import PROBLEM_JSON, ProblemSerializer


class Schema(AutoSchema):
    """Every operation may also answer with a problem, and says so."""

    def get_auth(self) -> list[dict[str, Any]]:
        return [{"terminalSignature": []}]

    def _get_response_bodies(self, direction: Any = "response") -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        problem = self._get_response_for_code(ProblemSerializer, "default", [PROBLEM_JSON])
        return {**bodies, "default": {**problem, "description": "RFC 9457 problem"}}
