"""The lab's own certificate authority and the certificates it signs, by the openssl command."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from labtui.lab.layout import Lab
from labtui.lab.system import LabError, run

YEARS = 10
CURVE = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


def ensure_ca(lab: Lab) -> Path:
    """The authority's certificate, made once for a lab; its key never leaves `lab.secrets`."""
    key = lab.secrets / "ca.key"
    if lab.ca.is_file() and key.is_file() and _belong(lab.ca, key):
        return lab.ca
    lab.secrets.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=lab.secrets) as folder:
        draft_key, draft = Path(folder) / "ca.key", Path(folder) / "ca.pem"
        _openssl(
            *("req", "-x509", *CURVE, "-keyout", draft_key, "-out", draft),
            *("-subj", f"/CN=labtui lab {lab.name}", "-days", str(365 * YEARS)),
            *("-addext", "basicConstraints=critical,CA:TRUE,pathlen:0"),
            *("-addext", "keyUsage=critical,keyCertSign,cRLSign"),
        )
        draft_key.chmod(0o600)
        draft.chmod(0o644)
        draft_key.replace(key)
        draft.replace(lab.ca)
    return lab.ca


def ensure_server(lab: Lab, name: str, hosts: Sequence[str], addresses: Sequence[str]) -> None:
    """`NAME.key` and `NAME.pem` in `lab.secrets`, signed by the lab's authority of today."""
    ensure_ca(lab)
    key, certificate = lab.secrets / f"{name}.key", lab.secrets / f"{name}.pem"
    if key.is_file() and certificate.is_file() and _belong(certificate, key):
        signed = run(["openssl", "verify", "-CAfile", lab.ca, certificate], check=False)
        if signed.returncode == 0:
            return
    names = [f"DNS:{host}" for host in hosts] + [f"IP:{address}" for address in addresses]
    with tempfile.TemporaryDirectory(dir=lab.secrets) as folder:
        draft_key, request, draft, extensions = (
            Path(folder) / n for n in ("key", "csr", "pem", "extensions")
        )
        extensions.write_text(
            f"subjectAltName={','.join(names)}\nbasicConstraints=critical,CA:FALSE\n"
            "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth\n"
        )
        _openssl("req", *CURVE, "-keyout", draft_key, "-out", request, "-subj", f"/CN={name}")
        _openssl(
            *("x509", "-req", "-in", request, "-out", draft, "-days", str(365 * YEARS)),
            *("-CA", lab.ca, "-CAkey", lab.secrets / "ca.key", "-extfile", extensions),
        )
        draft_key.chmod(0o600)
        draft.chmod(0o644)
        draft_key.replace(key)
        draft.replace(certificate)


def _belong(certificate: Path, key: Path) -> bool:
    """Whether they have the same public key: a kill between the two renames leaves them apart."""
    of_one = run(["openssl", "x509", "-in", certificate, "-noout", "-pubkey"], check=False)
    of_other = run(["openssl", "pkey", "-in", key, "-pubout"], check=False)
    return of_one.returncode == 0 and of_one.stdout == of_other.stdout


def _openssl(*words: str | Path) -> None:
    try:
        run(["openssl", *words])
    except LabError as error:
        raise LabError(f"no certificate for the lab: {error}") from None
