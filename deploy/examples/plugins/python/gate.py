"""Answers 403 to requests without the header that the parameter names, and marks the answers to the others."""

import json

from wit_world import exports
from wit_world.imports.types import Halt


class Pre(exports.Pre):
    def run(self, request, session):
        header = json.loads(session.param())["header"]
        if request.header(header) is None:
            return Halt(403, f"{header} is missing\n", None, [])
        return None


class Post(exports.Post):
    def run(self, request, session):
        session.add_response_header("x-gate", "python")
        return None
