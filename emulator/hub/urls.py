"""Which path is answered by what. A repo's id is one segment or two."""

from emulator.http import Route
from emulator.hub import responses

ROUTES = (
    Route("GET", "/api/whoami-v2", responses.whoami),
    Route("GET", "/api/models/{path:id}/auth-check", responses.auth_check),
    Route("GET", "/api/models/{path:id}/tree/{revision}", responses.tree),
    Route("GET", "/api/models/{path:id}/revision/{revision}", responses.model_info),
    Route("GET", "/api/models/{path:id}", responses.model_info),
    Route("GET", "/{path:id}/resolve/{revision}/{path:file}", responses.resolve),
)
