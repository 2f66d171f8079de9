#!/usr/bin/env python3
"""Keycloak as the identity provider of a historian: fetched with Maven, started on loopback with a realm of its own, asked the cases of
tests/it/access/oidc.rs that another provider could answer differently, and ended. It takes Java 17, Maven, some 600 MB of memory and minutes:

    python3 tests/peers/oidc/keycloak.py ~/.cache/historian/target/release/historian

One line per case on standard output, and the exit code 1 where one is not as it should be. Nothing but the standard library.
"""

import base64
import hashlib
import hmac
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))

from ports import free_port

VERSION = "26.7.3"
CACHE = pathlib.Path(os.environ.get("HISTORIAN_CACHE", pathlib.Path.home() / ".cache/historian")) / "keycloak"
ADMIN = "an-admin-of-the-test"
SECRET = "a-secret-of-the-test"
FAILED = []


def client(name, audience, **attributes):
    """A client that gets tokens by its credentials; Keycloak names an audience where a mapper says so."""
    mapper = {
        "name": "audience",
        "protocol": "openid-connect",
        "protocolMapper": "oidc-audience-mapper",
        "config": {"included.custom.audience": audience, "access.token.claim": "true"},
    }
    return {
        "clientId": name,
        "secret": SECRET,
        "serviceAccountsEnabled": True,
        "standardFlowEnabled": False,
        "publicClient": False,
        "protocolMappers": [mapper],
        "attributes": attributes,
    }


def realm(name):
    users = [{"username": f"service-account-{who}", "enabled": True, "serviceAccountClientId": who, "realmRoles": [*roles, f"default-roles-{name}"]} for who, roles in [("ana", ["operators"]), ("short", ["operators"])]]
    clients = [client("ana", "historian"), client("bob", "historian"), client("other", "other"), client("short", "historian", **{"access.token.lifespan": "3"})]
    return {"realm": name, "enabled": True, "sslRequired": "none", "roles": {"realm": [{"name": "operators"}]}, "clients": clients, "users": users}


def fetch(url, data=None, token=None, method=None):
    headers = {"content-type": "application/json"} if isinstance(data, dict) else {}
    if token:
        headers["authorization"] = f"Bearer {token}"
    body = None if data is None else json.dumps(data).encode() if isinstance(data, dict) else urllib.parse.urlencode(data).encode()
    request = urllib.request.Request(url, data=body, headers=headers, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        text = answer.read()
    return json.loads(text) if text.strip() else None


def until(what, ask, seconds):
    end = time.monotonic() + seconds
    while True:
        try:
            if ask():
                return
        except OSError:
            pass
        if time.monotonic() > end:
            raise SystemExit(f"{what}: not within {seconds} s")
        time.sleep(1)


def install():
    home = CACHE / f"keycloak-{VERSION}"
    if home.is_dir():
        return home
    CACHE.mkdir(parents=True, exist_ok=True)
    archive = CACHE / f"keycloak-quarkus-dist-{VERSION}.zip"
    if not archive.exists():
        plugin = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
        artifact = f"-Dartifact=org.keycloak:keycloak-quarkus-dist:{VERSION}:zip"
        subprocess.run(["mvn", "--quiet", "--batch-mode", plugin, artifact, f"-DoutputDirectory={CACHE}"], check=True, stdin=subprocess.DEVNULL)
    shutil.unpack_archive(archive, CACHE)
    (home / "bin/kc.sh").chmod(0o755)
    return home


def judge(case, good, told=""):
    print(json.dumps({"case": case, "good": bool(good)} | ({} if good else {"told": told})), flush=True)
    if not good:
        FAILED.append(case)


def part(value):
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def read(text):
    return json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


class Historian:
    def __init__(self, binary, directory, issuer):
        self.binary, self.data = binary, directory / "data"
        self.data.mkdir()
        for principal, role in [("oidc-role:operators", "engineer=area1/**"), ("oidc-role:default-roles-plant", "reader=area2/**")]:
            self.run("grant", "add", principal, "--grant", role, "--data-dir", str(self.data))
        configuration = directory / "historian.toml"
        configuration.write_text(f'[oidc]\nissuer = "{issuer}"\naudience = "historian"\nroles_claim = "realm_access.roles"\nleeway_s = 0\n')
        self.server = f"127.0.0.1:{free_port()}"
        self.log = open(directory / "historian.log", "w+")
        serve = [binary, "serve", "--data-dir", str(self.data), "--config", str(configuration), "--listen", self.server, "--http", f"127.0.0.1:{free_port()}"]
        self.process = subprocess.Popen(serve, stderr=self.log, stdin=subprocess.DEVNULL, env=os.environ | {"HISTORIAN_LOG": "info"})

    def run(self, *arguments, token=""):
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HISTORIAN_")} | {"HISTORIAN_TOKEN": token}
        done = subprocess.run([self.binary, *arguments], capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL, timeout=60)
        return done.returncode, done.stdout, done.stderr

    def whoami(self, token):
        code, told, complaint = self.run("whoami", "--server", self.server, "--format", "json", token=token)
        return json.loads(told) if code == 0 else complaint

    def told(self):
        return pathlib.Path(self.log.name).read_text()


def main():
    binary = str(pathlib.Path(sys.argv[1]).resolve())
    home = install()
    port, management = free_port(), free_port()
    base = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        work = directory / "keycloak"
        # A copy of its own: its database and the realms go with it.
        shutil.copytree(home, work, symlinks=True)
        imported = work / "data/import"
        imported.mkdir(parents=True)
        for one in ["plant", "elsewhere"]:
            (imported / f"{one}-realm.json").write_text(json.dumps(realm(one)))
        command = [str(work / "bin/kc.sh"), "start-dev", "--import-realm", "--http-host=127.0.0.1", f"--http-port={port}", "--health-enabled=true"]
        command += [f"--http-management-port={management}", f"--hostname={base}"]
        environment = os.environ | {"KC_BOOTSTRAP_ADMIN_USERNAME": "admin", "KC_BOOTSTRAP_ADMIN_PASSWORD": ADMIN, "JAVA_OPTS_KC_HEAP": "-Xms128m -Xmx512m"}
        with open(directory / "keycloak.log", "w") as log:
            keycloak = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=environment)
        historian = None
        try:
            until("Keycloak", lambda: fetch(f"http://127.0.0.1:{management}/health/ready")["status"] == "UP", 900)
            historian = Historian(binary, directory, f"{base}/realms/plant")
            until("the keys", lambda: "the keys of the identity provider are read" in historian.told(), 60)
            cases(base, historian)
        finally:
            for process in [historian and historian.process, keycloak]:
                if process:
                    process.terminate()
                    process.wait(60)
            if FAILED and historian:
                print(historian.told(), file=sys.stderr)
    sys.exit(1 if FAILED else 0)


def token_of(base, who, where="plant"):
    form = [("grant_type", "client_credentials"), ("client_id", who), ("client_secret", SECRET)]
    return fetch(f"{base}/realms/{where}/protocol/openid-connect/token", form)["access_token"]


def cases(base, historian):
    certificates = f"{base}/realms/plant/protocol/openid-connect/certs"
    keys = fetch(certificates)["keys"]
    judge("a key for encryption is in the set", any(key["use"] == "enc" for key in keys), str(keys))
    good = token_of(base, "ana")
    header, payload, signature = good.split(".")
    told = historian.whoami(good)
    subject = read(payload)["sub"]
    judge("a good token is its subject's", isinstance(told, dict) and told["name"] == f"oidc:{subject}", str(told))
    rights = {right["right"]: right["tags"] for right in told["rights"]} if isinstance(told, dict) else {}
    judge("roles of the realm are granted rights", rights.get("write") == ["area1/**"] and rights.get("read") == ["area1/**", "area2/**"], str(told))
    told = historian.whoami(token_of(base, "bob"))
    judge("without the role there are its rights no more", isinstance(told, dict) and [right["right"] for right in told["rights"]] == ["read"], str(told))
    own = next(key for key in keys if key["use"] == "sig")
    pem = f"-----BEGIN CERTIFICATE-----\n{own['x5c'][0]}\n-----END CERTIFICATE-----\n"
    message = f"{part(read(header) | {'alg': 'HS256'})}.{payload}"
    bad = {
        "another audience": token_of(base, "other"),
        "another realm": token_of(base, "ana", "elsewhere"),
        "tampered": f"{header}.{part(read(payload) | {'sub': 'root'})}.{signature}",
        "alg none": f"{part(read(header) | {'alg': 'none'})}.{payload}.",
        "HS256 with the public key": f"{message}.{base64.urlsafe_b64encode(hmac.digest(pem.encode(), message.encode(), hashlib.sha256)).rstrip(b'=').decode()}",
    }
    short = token_of(base, "short")
    time.sleep(5)
    bad["expired"] = short
    for case, token in bad.items():
        told = historian.whoami(token)
        judge(f"{case} is refused", "the token is not valid: unknown, expired or revoked" in told if isinstance(told, str) else False, str(told))

    # Another key, of a higher priority; tokens of the one before hold as long as it is published.
    admin = [("grant_type", "password"), ("client_id", "admin-cli"), ("username", "admin"), ("password", ADMIN)]
    admin = fetch(f"{base}/realms/master/protocol/openid-connect/token", admin)["access_token"]
    identity = fetch(f"{base}/admin/realms/plant", token=admin)["id"]
    provider = {
        "name": "a newer key",
        "parentId": identity,
        "providerId": "rsa-generated",
        "providerType": "org.keycloak.keys.KeyProvider",
        "config": {"priority": ["1000"], "enabled": ["true"], "active": ["true"], "algorithm": ["RS256"], "keySize": ["2048"]},
    }
    before = token_of(base, "ana")
    fetch(f"{base}/admin/realms/plant/components", provider, token=admin, method="POST")
    after = token_of(base, "ana")
    judge("the provider signs with another key", read(before.split(".")[0])["kid"] != read(after.split(".")[0])["kid"])
    # The token of the other realm named a key that is not known: the keys were read for it, which happens once in five seconds.
    time.sleep(6)
    told = historian.whoami(after)
    judge("the first token of a new key is taken", isinstance(told, dict), str(told))
    told = historian.whoami(before)
    judge("a token of the key before is taken while it is published", isinstance(told, dict), str(told))


main()
