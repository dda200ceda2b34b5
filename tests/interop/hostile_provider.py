# SPDX-License-Identifier: Apache-2.0
"""A login provider that misbehaves in one way per issuer: http://127.0.0.1:PORT/SCENARIO.

    hostile_provider.py FOLDER      prints the port, then serves; with FOLDER/{good,expired,other}.{pem,key}
                                    also three TLS ports and one that speaks no TLS, printed in one line

Everything that a scenario does not name is as it should be. GET /SCENARIO/fetched counts key set fetches.
"""
import base64
import http.server
import json
import os
import socket
import ssl
import sys
import threading
import time

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

KEYS = {name: rsa.generate_private_key(public_exponent=65537, key_size=2048) for name in ("one", "two")}
ESC = "\x1b[31mred\x07\n\u202eevil"


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def jwk(name):
    n = KEYS[name].public_key().public_numbers()
    return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": name, "e": "AQAB", "n": b64(n.n.to_bytes(256, "big"))}


def token(base, claims=None, header=None, key="one", raw=None):
    now = int(time.time())
    all_claims = {"iss": base, "aud": "warren-cli", "sub": "alice", "email": "alice@example.com", "iat": now,
                  "exp": now + 300, **(claims or {})}
    text = raw(all_claims) if raw else json.dumps({k: v for k, v in all_claims.items() if v is not None})
    head = b64(json.dumps({"alg": "RS256", "kid": key, "typ": "JWT", **(header or {})}).encode())
    body = head + "." + b64(text.encode())
    return body + "." + b64(KEYS[key].sign(body.encode(), padding.PKCS1v15(), hashes.SHA256()))


def doc(base, **changes):
    d = {"issuer": base, "authorization_endpoint": base + "/auth", "token_endpoint": base + "/token",
         "device_authorization_endpoint": base + "/device", "jwks_uri": base + "/jwks", **changes}
    return {k: v for k, v in d.items() if v is not None}


def device(base, **changes):
    return {"device_code": "d", "user_code": "AAAA-BBBB", "verification_uri": base + "/page", "expires_in": 300,
            "interval": 1, **changes}


def answer(base, **changes):
    return {"access_token": "a", "token_type": "Bearer", **changes}


def loop(base):
    return 302, {"Location": base + "/.well-known/openid-configuration"}, b""


now = time.time
# "what a scenario does": {part: a value to dump, bytes, (status, headers, body), or a function of base}
DISCOVERY = {
    "huge": lambda b: doc(b, padding="x" * 200000),
    "short": lambda b: (200, {"Content-Length": "5000"}, json.dumps(doc(b)).encode()),
    "loop": loop,
    "elsewhere": lambda b: (302, {"Location": "http://192.0.2.9:%d/fine/.well-known/openid-configuration" % away}, b""),
    "file": (302, {"Location": "file:///etc/passwd"}, b""),
    "html": b"<html>log in first</html>",
    "list": b"[]",
    "empty": b"",
    "twice": lambda b: json.dumps(doc(b)).replace('{"issuer"', '{"issuer": "http://x", "issuer"', 1).encode(),
    "tail": lambda b: json.dumps(doc(b)).encode() + b"{}",
    "nul": lambda b: doc(b, issuer=b + "\0x"),
    "deep": b"[" * 100000,
    "no-such": (404, {}, b"{}"),
    "broken": (500, {}, b"{}"),
    "nameless": lambda b: doc(b, issuer=None),
    "slash": lambda b: doc(b, issuer=b + "/"),
    "red": lambda b: doc(b, issuer=ESC),
    "no-keys": lambda b: doc(b, jwks_uri=None),
    "no-token": lambda b: doc(b, token_endpoint=7),
    "no-url": lambda b: doc(b, token_endpoint="x y"),
    "plain": lambda b: doc(b, token_endpoint="http://192.0.2.9/token", device_authorization_endpoint="http://192.0.2.9/d"),
    "script": lambda b: doc(b, device_authorization_endpoint="javascript:alert(1)"),
    "no-device": lambda b: doc(b, device_authorization_endpoint=None),
}
DEVICE = {
    "device-html": b"<html>",
    "device-huge": lambda b: device(b, padding="x" * 400000),
    "device-moved": (302, {"Location": "http://127.0.0.1:1/"}, b""),
    "device-500": (500, {}, b""),
    "device-script": lambda b: device(b, verification_uri="javascript:alert(1)"),
    "device-red": lambda b: device(b, user_code=ESC),
    "device-over": lambda b: device(b, expires_in=-1),
    "device-slow": lambda b: device(b, interval=100000),
    "device-error": (400, {}, json.dumps({"error": "invalid_client", "error_description": ESC}).encode()),
}
TOKEN = {
    "token-html": b"<html>",
    "token-huge": lambda b: answer(b, id_token=token(b), padding="x" * 400000),
    "token-moved": (307, {"Location": "http://127.0.0.1:1/"}, b""),
    "token-none": lambda b: answer(b),
    "token-number": lambda b: answer(b, id_token=5),
    "token-long": lambda b: answer(b, id_token="x" * 90000),
    "token-red": (400, {}, json.dumps({"error": "x" + ESC, "error_description": ESC}).encode()),
    "token-twice": lambda b: ('{"id_token":"%s","id_token":"%s"}' % (token(b), token(b))).encode(),
}
# name: what is put over claims, header and the rest of token()
CLAIMS = {
    "no-sub": {"claims": {"sub": None}},
    "no-exp": {"claims": {"exp": None}},
    "no-aud": {"claims": {"aud": None}},
    "no-iss": {"claims": {"iss": None}},
    "no-email": {"claims": {"email": None}},
    "sub-number": {"claims": {"sub": 7}},
    "email-list": {"claims": {"email": ["alice@example.com"]}},
    "email-long": {"claims": {"email": "a" * 5000 + "@example.com"}},
    "email-red": {"claims": {"email": "alice" + ESC + "@example.com"}},
    "email-empty": {"claims": {"email": ""}},
    "groups-text": {"claims": {"groups": {"a": 1}}},
    "groups-many": {"claims": {"groups": ["g%d" % i for i in range(5000)]}},
    "aud-other": {"claims": {"aud": "somebody-else"}},
    "aud-two": {"claims": {"aud": ["warren-cli", "x"]}},
    "aud-party": {"claims": {"aud": ["warren-cli", "x"], "azp": "warren-cli"}},
    "aud-number": {"claims": {"aud": ["warren-cli", 7]}},
    "iss-slash": {"claims": {"iss": "SLASH"}},
    "exp-30": {"claims": {"exp": -30}},
    "exp-90": {"claims": {"exp": -90}},
    "iat-30": {"claims": {"iat": 30}},
    "iat-90": {"claims": {"iat": 90}},
    "nbf-30": {"claims": {"nbf": 30}},
    "nbf-90": {"claims": {"nbf": 90}},
    "exp-text": {"claims": {"exp": "tomorrow"}},
    "email-twice": {"raw": lambda c: json.dumps(c)[:-1] + ', "email": "root@example.com"}'},
    "no-json": {"raw": lambda c: "alice"},
    "alg-none": {"header": {"alg": "none"}},
    "alg-hs256": {"header": {"alg": "HS256"}},
    "alg-es256": {"header": {"alg": "ES256"}},
    "alg-list": {"header": {"alg": ["RS256"]}},
    "crit": {"header": {"crit": ["x"], "x": 1}},
    "b64": {"header": {"crit": ["b64"], "b64": False}},
    "jku": {"header": {"jku": "http://127.0.0.1:1/jwks", "jwk": {"kty": "oct", "k": "AA"}, "kid": "mine"}},
    "kid": {"header": {"kid": "nobody"}},
    "wrong-key": {"header": {"kid": "one"}, "key": "two"},
}
JWKS = {
    "keys-huge": lambda b: {"keys": [jwk("one")] + [{"kty": "RSA", "n": "x" * 1000}] * 2000},
    "keys-html": b"<html>",
    "keys-none": lambda b: {"keys": []},
    "keys-secret": lambda b: {"keys": [{"kty": "oct", "k": "AAAA", "kid": "one", "alg": "HS256"}]},
    "keys-500": (500, {}, b""),
    "keys-loop": lambda b: (302, {"Location": b + "/jwks"}, b""),
    "keys-short": lambda b: {"keys": [{**jwk("one"), "n": "AQAB"}]},
}
fetched = {}


def claims_token(base, spec):
    spec = {k: (dict(v) if isinstance(v, dict) else v) for k, v in spec.items()}
    for name in ("exp", "iat", "nbf"):
        value = spec.get("claims", {}).get(name)
        if isinstance(value, int):
            spec["claims"][name] = int(now()) + value
    if spec.get("claims", {}).get("iss") == "SLASH":
        spec["claims"]["iss"] = base + "/"
    return token(base, **spec)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def reply(self, value, base):
        if callable(value):
            value = value(base)
        status, headers = 200, {}
        if isinstance(value, tuple):
            status, headers, value = value
        if not isinstance(value, bytes):
            value = json.dumps(value).encode()
        self.send_response(status)
        for k, v in {"Content-Type": "application/json", "Content-Length": str(len(value)), **headers}.items():
            self.send_header(k, v)
        self.end_headers()
        self.wfile.write(value)
        if "Content-Length" in headers:
            self.close_connection = True

    def serve(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        scheme = "https" if isinstance(self.connection, ssl.SSLSocket) else "http"
        name = self.path.split("/")[1]
        base = "%s://127.0.0.1:%d/%s" % (scheme, self.server.server_address[1], name)
        what = self.path[len(name) + 2:]
        if what == ".well-known/openid-configuration":
            self.reply(DISCOVERY.get(name, doc), base)
        elif what == "device":
            self.reply(DEVICE.get(name, device), base)
        elif what == "jwks":
            fetched[name] = fetched.get(name, 0) + 1
            late = name == "rotated" and fetched[name] > 1
            self.reply(JWKS.get(name, {"keys": [jwk("two" if late else "one")]}), base)
        elif what == "fetched":
            self.reply({"count": fetched.get(name, 0)}, base)
        elif what == "token" and name == "rotated":
            self.reply(answer(base, id_token=token(base, key="two")), base)
        elif what == "token":
            spec = CLAIMS.get(name, {})
            self.reply(TOKEN.get(name, lambda b: answer(b, id_token=claims_token(b, spec))), base)
        else:
            self.reply((404, {}, b"{}"), base)

    do_GET = do_POST = serve


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


def start(folder=None, certificate=None, host="127.0.0.1"):
    server = Server((host, 0), Handler)
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain("%s/%s.pem" % (folder, certificate), "%s/%s.key" % (folder, certificate))
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def garbage():
    s = socket.create_server(("127.0.0.1", 0))

    def run():
        while True:
            c, _ = s.accept()
            try:
                c.recv(4096)
                c.sendall(b"\x15\x09\x09" + os.urandom(200))
                c.close()
            except OSError:
                pass

    threading.Thread(target=run, daemon=True).start()
    return s.getsockname()[1]


folder = sys.argv[1]
try:
    away = start(host="192.0.2.9")  # an address that is not loopback, when this machine has it
except OSError:
    away = 80
print(start(), *[start(folder, name) for name in ("good", "expired", "other")], garbage(), flush=True)
threading.Event().wait()
