"""What a visitor without the token is shown."""

from __future__ import annotations

import base64
import hashlib

from aiohttp import hdrs, web

from edgecam.http.rights import Denied

_STYLE = """
:root{color-scheme:light dark}
body{margin:0;min-height:100vh;display:grid;place-items:center;font:1rem/1.55 system-ui,sans-serif;
background:#f4f5f7;color:#1c2024}
main{max-width:34rem;margin:1rem;padding:2rem 2.25rem;background:#fff;border-radius:.75rem;
box-shadow:0 1px 3px #0002,0 8px 24px #0001}
h1{margin:0 0 .75rem;font-size:1.3rem}
p{margin:.6rem 0}
code{padding:.1em .35em;border-radius:.3em;background:#eceef1;font-size:.92em}
@media(prefers-color-scheme:dark){body{background:#111418;color:#e6e8ea}main{background:#1b1f24}code{background:#2a3038}}
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; frame-ancestors 'none'"

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>{title}</title><style>{style}</style></head>
<body><main><h1>{title}</h1>{body}</main></body></html>
"""
_WHERE = {
    "web": (
        "<p>The full link was printed when edgecam started. "
        "To see it again, run this on the camera's machine:</p>"
        "<p><code>edgecam status --link</code></p>"
    ),
    "server": "<p>The full link was printed when <code>edgecam server</code> started.</p>",
}


_ENDED = "<p>Ask whoever sent it for a new one.</p>"


def token_needed(request: web.BaseRequest, section: str, denied: Denied | None) -> web.Response:
    """401 in the form the client reads: a page for a person, JSON for the API, else one line of text. `denied`: what is
    wrong with the token that was shown, None for no token."""
    line = denied.message if denied else "a token is needed: Authorization: Bearer TOKEN"
    code = denied.code if denied else "token-needed"
    headers = {"WWW-Authenticate": 'Bearer realm="edgecam"', hdrs.CONNECTION: "close"}
    ended = code in {"token-expired", "token-revoked"}
    title = "This link needs its token" if denied is None else "This link has ended" if ended else "This link's token is wrong"
    return _said(request, 401, line, code, title, _ENDED if ended else _WHERE.get(section, _WHERE["web"]), headers)


def not_allowed(request: web.BaseRequest) -> web.Response:
    """403: the token is good, and not for this."""
    line = "this token is not for that"
    return _said(request, 403, line, "forbidden", "This link leads elsewhere", _ENDED, {hdrs.CONNECTION: "close"})


def _said(
    request: web.BaseRequest, status: int, line: str, code: str, title: str, body: str, headers: dict[str, str]
) -> web.Response:
    if "text/html" in request.headers.get(hdrs.ACCEPT, ""):
        headers["Content-Security-Policy"] = _POLICY
        text = _PAGE.format(title=title, style=_STYLE, body=body)
        return web.Response(status=status, text=text, content_type="text/html", headers=headers)
    if request.path.startswith("/api/"):
        return web.json_response({"error": line, "code": code}, status=status, headers=headers)
    return web.Response(status=status, text=line + "\n", headers=headers)


def throttled(denied: Denied) -> web.Response:
    """429 with the whole seconds to wait (RFC 6585)."""
    headers = {"Retry-After": str(denied.retry_seconds), hdrs.CONNECTION: "close"}
    return web.Response(status=429, text=denied.message + "\n", headers=headers)
