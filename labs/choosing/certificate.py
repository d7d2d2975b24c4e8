"""A certificate that nobody vouches for, made at run time: TLS on loopback, for HTTP/2 in a browser and for QUIC."""

import datetime
import ipaddress
from functools import cache
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

DAYS = 10  # a browser takes an unknown certificate by its hash if it is valid for at most two weeks (W3C WebTransport)


@cache
def self_signed() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A certificate for localhost and 127.0.0.1, and its key; the same ones throughout the process."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    hosts = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(days=DAYS))
    return made.add_extension(x509.SubjectAlternativeName(hosts), critical=False).sign(key, hashes.SHA256()), key


def write(folder: Path) -> Path:
    """Write the certificate and its key into one PEM file, which is what Python's `ssl` wants, and return its path."""
    certificate, key = self_signed()
    kept = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path = folder / "loopback.pem"
    path.write_bytes(certificate.public_bytes(kept[0]) + key.private_bytes(*kept))
    return path
