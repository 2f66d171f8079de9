"""Users of opcua_server.py: a name with its password, certificates, and tokens of an issuer whose key is known (JWT, HS256).

asyncua knows no issued tokens. What a server does with one is added here by the standard (OPC 10000-4, 7.40): it announces them by its user
token policies, takes the token out of its encryption with the key of its certificate, and looks at signature and end.
"""

import base64
import hashlib
import hmac
import json
import time
from pathlib import Path

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.crypto import security_policies
from asyncua.crypto.permission_rules import User, UserRole
from asyncua.server.internal_session import InternalSession
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

JWT = "http://opcfoundation.org/UA/UserToken#JWT"
NONE = security_policies.SecurityPolicyNone.URI
BASIC = "http://opcfoundation.org/UA/SecurityPolicy#Basic256Sha256"
PADDINGS = {
    "http://www.w3.org/2001/04/xmlenc#rsa-oaep": hashes.SHA1,
    "http://opcfoundation.org/UA/security/rsa-oaep-sha2-256": hashes.SHA256,
}


class Users:
    """Who is let in by name or certificate; the user manager of asyncua, which has verified the proof of a certificate before."""

    def __init__(self, user, password, certificates):
        self.user, self.password = user, password
        self.certificates = [Path(file).read_bytes() for file in certificates]

    def identity_tokens(self):
        if self.certificates:
            return [ua.X509IdentityToken]
        return [ua.UserNameIdentityToken] if self.user is not None else None

    def get_user(self, iserver, username=None, password=None, certificate=None):
        if self.certificates:
            let_in = certificate in self.certificates
        else:
            let_in = self.user is None or (username == self.user and password == self.password)
        return User(role=UserRole.User) if let_in else None


def encode(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


class Issuer:
    """A server that lets in who shows a token that this issuer has signed, and nobody else."""

    def __init__(self, server, key, policy):
        self.server, self.key, self.policy = server, key.encode(), policy
        self.shown = []
        activate = InternalSession.activate_session

        def activate_session(session, params, peer_certificate):
            if not session.external:
                return activate(session, params, peer_certificate)
            self.judge(session, params.UserIdentityToken)
            params.UserIdentityToken = ua.AnonymousIdentityToken()
            return activate(session, params, peer_certificate)

        InternalSession.activate_session = activate_session

    def announce(self):
        """After the start of the server, whose endpoints are known then."""
        for endpoint in self.server.iserver.endpoints:
            token = ua.UserTokenPolicy()
            token.PolicyId = "issued"
            token.TokenType = ua.UserTokenType.IssuedToken
            token.IssuedTokenType = JWT
            if self.policy == "none":
                token.SecurityPolicyUri = NONE
            elif endpoint.SecurityPolicyUri == NONE:
                token.SecurityPolicyUri = BASIC
            endpoint.UserIdentityTokens = [token]

    def sign(self, signed):
        return encode(hmac.new(self.key, signed.encode(), hashlib.sha256).digest())

    def issue(self, lives_s, padding_bytes=0):
        """A token with claims of a length, as groups of a user have."""
        header = encode(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
        claims = {"sub": "historian", "exp": int(time.time()) + lives_s, "groups": "g" * padding_bytes}
        signed = f"{header}.{encode(json.dumps(claims).encode())}"
        return f"{signed}.{self.sign(signed)}"

    def judge(self, session, token):
        if not isinstance(token, ua.IssuedIdentityToken) or token.PolicyId != "issued":
            raise ServiceError(ua.StatusCodes.BadIdentityTokenInvalid)
        self.shown.append(token.EncryptionAlgorithm or "clear")
        text = self.decrypt(session, token).decode()
        signed, _, signature = text.rpartition(".")
        if not hmac.compare_digest(signature, self.sign(signed)):
            raise ServiceError(ua.StatusCodes.BadIdentityTokenRejected)
        if json.loads(decode(signed.split(".")[1]))["exp"] <= time.time():
            raise ServiceError(ua.StatusCodes.BadIdentityTokenRejected)

    def decrypt(self, session, token):
        if not token.EncryptionAlgorithm:
            return token.TokenData
        digest = PADDINGS[token.EncryptionAlgorithm]
        key = self.server.iserver.private_key
        size = key.key_size // 8
        scheme = padding.OAEP(mgf=padding.MGF1(algorithm=digest()), algorithm=digest(), label=None)
        blocks = [key.decrypt(token.TokenData[at : at + size], scheme) for at in range(0, len(token.TokenData), size)]
        plain = b"".join(blocks)
        length = int.from_bytes(plain[:4], "little")
        secret, nonce = plain[4 : 4 + length - len(session.nonce)], plain[4 + length - len(session.nonce) : 4 + length]
        if nonce != session.nonce or any(plain[4 + length :]):
            raise ServiceError(ua.StatusCodes.BadIdentityTokenInvalid)
        return secret
