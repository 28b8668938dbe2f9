"""Signatures of minisign: made here by its format, and by the program itself where it is installed."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from mevlip.core.errors import EnvironmentProblem
from mevlip_release.docker_client import InvalidImage
from mevlip_release.signature import read_public_key, verify_signature

SECRET = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
ID = b"\x01\x02\x03\x04\x05\x06\x07\x08"
PUBLIC = b"untrusted comment: minisign public key\n" + base64.b64encode(
    b"Ed" + ID + SECRET.public_key().public_bytes_raw()
) + b"\n"  # fmt: skip
DATA = b"0123  team.tar.gz\n"


def sign(data: bytes, comment: bytes = b"release 1", *, hashed: bool = True, key_id: bytes = ID) -> bytes:
    """What `minisign -S` writes (with -l where not hashed)."""
    signature = SECRET.sign(hashlib.blake2b(data).digest() if hashed else data)
    lines = [
        b"untrusted comment: signature from minisign secret key",
        base64.b64encode((b"ED" if hashed else b"Ed") + key_id + signature),
        b"trusted comment: " + comment,
        base64.b64encode(SECRET.sign(signature + comment)),
    ]
    return b"\n".join(lines) + b"\n"


def verify(data: bytes, signature: bytes, public: bytes = PUBLIC) -> str:
    return verify_signature(data, signature, read_public_key(public, "team.pub"), "SHA256SUMS.minisig")


@pytest.mark.parametrize("hashed", [True, False])
def test_a_signature_is_verified_with_its_comment(hashed: bool) -> None:
    assert verify(DATA, sign(DATA, hashed=hashed)) == "release 1"
    assert read_public_key(PUBLIC, "team.pub").name == "0807060504030201"


def test_altered_files_comments_and_other_keys_are_named() -> None:
    with pytest.raises(InvalidImage, match="does not match: the file or the comment was altered"):
        verify(DATA + b"x", sign(DATA))
    with pytest.raises(InvalidImage, match="does not match"):
        verify(DATA, sign(DATA).replace(b"release 1", b"release 2"))
    with pytest.raises(InvalidImage, match="was made with another key than 0807060504030201"):
        verify(DATA, sign(DATA, key_id=b"\0" * 8))
    for key in (b"", b"RWQ", PUBLIC.splitlines()[1], PUBLIC + b"x", sign(DATA)):
        with pytest.raises(EnvironmentProblem, match="team.pub is not a minisign public key"):
            verify(DATA, sign(DATA), key)


@given(place=st.floats(0, 1, exclude_max=True), flipped=st.integers(1, 255), cut=st.booleans())
def test_a_damaged_signature_is_named_unless_nothing_that_is_signed_changed(
    place: float, flipped: int, cut: bool
) -> None:
    whole = sign(DATA)
    data = bytearray(whole)
    at = int(place * len(data))
    data[at] ^= flipped
    try:
        comment = verify(DATA, bytes(data[:at] if cut else data))
    except InvalidImage as error:
        assert "SHA256SUMS.minisig" in str(error)
    else:
        assert comment == "release 1"


@pytest.mark.skipif(shutil.which("minisign") is None, reason="the program minisign is not installed")
@pytest.mark.parametrize("options", [[], ["-l"]], ids=["hashed", "legacy"])
def test_what_minisign_signs_is_verified(tmp_path: Path, options: list[str]) -> None:
    def run(*arguments: str) -> None:
        subprocess.run(["minisign", *arguments], cwd=tmp_path, check=True, capture_output=True)

    (tmp_path / "SHA256SUMS").write_bytes(DATA)
    run("-G", "-W", "-p", "team.pub", "-s", "team.key")
    run("-S", "-s", "team.key", "-m", "SHA256SUMS", "-t", "release 1", *options)
    public, signature = (tmp_path / "team.pub").read_bytes(), (tmp_path / "SHA256SUMS.minisig").read_bytes()
    assert verify(DATA, signature, public) == "release 1"
    with pytest.raises(InvalidImage, match="does not match"):
        verify(DATA + b"x", signature, public)
    # The other way round: minisign accepts what the tests make.
    (tmp_path / "own.pub").write_bytes(PUBLIC)
    (tmp_path / "SHA256SUMS.minisig").write_bytes(sign(DATA, hashed=not options))
    run("-V", "-p", "own.pub", "-m", "SHA256SUMS")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(EnvironmentProblem, match="cryptography is not installed. Run: pip install"):
        verify(DATA, sign(DATA))
