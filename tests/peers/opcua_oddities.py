"""What real OPC UA servers do and asyncua does not: values that no decoder expects, clocks that are off, certificates of all kinds."""

import datetime

import asyncua.common.connection as connection
from asyncua import ua
from asyncua.crypto import security_policies, uacrypto
from asyncua.ua import ua_binary
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

UTC = datetime.timezone.utc


class Raw:
    """The bytes of a whole Variant."""

    def __init__(self, content):
        self.content = content


def odd_variant(kind, value):
    """A Variant of an odd kind; `None` for the kinds that are none of these."""
    if kind == "Latin1":  # asyncua sends lone surrogates as the bytes they stand for
        return ua.Variant(value.encode("latin-1").decode("utf-8", "surrogateescape"), ua.VariantType.String)
    if kind == "Latin1Text":
        return ua.Variant(ua.LocalizedText(value.encode("latin-1").decode("utf-8", "surrogateescape"), "de"))
    if kind == "Letters":
        return ua.Variant("x" * value, ua.VariantType.String)
    if kind == "Bytes":
        return ua.Variant(b"x" * value, ua.VariantType.ByteString)
    if kind == "EmptyMatrix":
        return ua.Variant([], ua.VariantType.Double, Dimensions=value, is_array=True)
    if kind == "Raw":
        return ua.Variant(Raw(bytes.fromhex(value)), ua.VariantType.ByteString)
    return None


def allow_raw_values():
    usual = ua_binary.variant_to_binary

    def encode(variant):
        return variant.Value.content if isinstance(variant.Value, Raw) else usual(variant)

    ua_binary.variant_to_binary = encode


class Channels:
    """Counts the secure channels opened and renewed, shifts the clock that they are stamped with, and bounds their life."""

    def __init__(self, shift_s, lifetime_ms):
        self.opened = 0

        class Shifted(datetime.datetime):
            @classmethod
            def now(cls, tz=None):
                return datetime.datetime.now(tz) + datetime.timedelta(seconds=shift_s)

        connection.datetime = Shifted
        usual = connection.SecureConnection.open

        def open_channel(itself, params, server):
            self.opened += 1
            if lifetime_ms:
                params.RequestedLifetime = min(params.RequestedLifetime, lifetime_ms)
            return usual(itself, params, server)

        connection.SecureConnection.open = open_channel


def certificate(folder, uri, host, days, dns_first, chain):
    """Makes `certificate.der` and `key.pem`; with `chain` the certificate of the issuer is returned, and sent behind the server's."""
    now = datetime.datetime.now(UTC)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    issuer_key = rsa.generate_private_key(public_exponent=65537, key_size=2048) if chain else key
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "peer")])
    issuer_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "issuer of peers")]) if chain else name
    names = [x509.UniformResourceIdentifier(uri), x509.DNSName(host)]
    if dns_first:
        names.reverse()

    def sign(subject, public, extensions):
        builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer_name).public_key(public)
        builder = builder.serial_number(x509.random_serial_number())
        # A negative span is one that is over.
        begin, end = sorted([now - datetime.timedelta(days=1), now + datetime.timedelta(days=days)])
        builder = builder.not_valid_before(begin).not_valid_after(end)
        for extension in extensions:
            builder = builder.add_extension(extension, critical=False)
        return builder.sign(issuer_key, hashes.SHA256())

    own = sign(name, key.public_key(), [
        x509.SubjectAlternativeName(names), x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]),
        x509.BasicConstraints(ca=False, path_length=None),
    ])
    (folder / "certificate.der").write_bytes(own.public_bytes(serialization.Encoding.DER))
    (folder / "key.pem").write_bytes(key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    if not chain:
        return None
    issuer = sign(issuer_name, issuer_key.public_key(), [x509.BasicConstraints(ca=True, path_length=0)])
    usual = security_policies.SecurityPolicy.__subclasses__()

    def with_chain(policy):
        begin = policy.__init__

        def initialise(itself, *arguments, **keywords):
            begin(itself, *arguments, **keywords)
            if getattr(itself, "host_certificate", None):
                itself.host_certificate_chain = [uacrypto.der_from_x509(issuer)]

        policy.__init__ = initialise

    for policy in usual:
        with_chain(policy)
    return issuer.public_bytes(serialization.Encoding.DER)
