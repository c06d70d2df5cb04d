"""Who has signed what: contracts before they live, permits before a share moves."""

from __future__ import annotations

import json

import pytest
from contract_samples import CONTRACT, PARTIES, bundle_of, contract_fields, key_of
from hypothesis import given, settings
from hypothesis import strategies as st

from hanse.contracts import (
    Bundle,
    Contract,
    Permit,
    contract_signed,
    sign_contract,
    sign_permit,
    verify_permits,
)
from hanse.errors import Foul, HanseError, Refusal

JOB = "5a" * 32
SIGNED = bundle_of()


def code_and_text(caught: pytest.ExceptionInfo[HanseError]) -> tuple[str, str]:
    assert caught.value.remedy
    return caught.value.code, caught.value.message


def test_a_bundle_signed_by_all_is_good() -> None:
    assert SIGNED.missing() == ()
    SIGNED.verify_all()


def test_the_signed_bytes_are_the_prefix_and_the_hash() -> None:
    message = b"hanse-contract-v1|" + bytes.fromhex(CONTRACT.hash)
    assert SIGNED.signatures["media"] == key_of("media").sign(message).hex()
    permit = sign_permit(CONTRACT, JOB, "media", key_of("media"))
    assert permit.signature == key_of("media").sign(b"hanse-permit-v1|" + b"\x5a" * 32).hex()


@pytest.mark.parametrize("party", PARTIES)
def test_the_party_that_has_not_signed_is_named(party: str) -> None:
    signatures = {name: text for name, text in SIGNED.signatures.items() if name != party}
    bundle = Bundle(CONTRACT, signatures)
    assert bundle.missing() == (party,)
    with pytest.raises(Refusal) as caught:
        bundle.verify_all()
    assert code_and_text(caught) == ("contract.unsigned", f"{party} has not signed the contract")


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(PARTIES), st.integers(0, 511))
def test_a_flipped_bit_in_a_signature_is_found_and_named(party: str, bit: int) -> None:
    raw = bytearray(bytes.fromhex(SIGNED.signatures[party]))
    raw[bit // 8] ^= 1 << (bit % 8)
    with pytest.raises(Refusal) as caught:
        Bundle(CONTRACT, {**SIGNED.signatures, party: raw.hex()}).verify_all()
    code, message = code_and_text(caught)
    assert code == "contract.signature"
    assert party in message


def test_signatures_do_not_carry_over_to_a_changed_text() -> None:
    fields = contract_fields()
    fields["privacy"]["k"] = 20
    with pytest.raises(Refusal) as caught:
        Bundle(Contract.from_fields(fields), SIGNED.signatures).verify_all()
    assert caught.value.code == "contract.signature"


def test_a_signature_of_one_party_does_not_serve_for_another() -> None:
    signatures = {**SIGNED.signatures, "neutral": SIGNED.signatures["media"]}
    with pytest.raises(Refusal, match="neutral") as caught:
        Bundle(CONTRACT, signatures).verify_all()
    assert caught.value.code == "contract.signature"


def test_a_stranger_among_the_signatures_is_refused() -> None:
    signatures = {**SIGNED.signatures, "stranger": SIGNED.signatures["media"]}
    with pytest.raises(Refusal, match="stranger") as caught:
        Bundle(CONTRACT, signatures).verify_all()
    assert caught.value.code == "contract.signature"


def test_a_permit_is_no_signature_of_a_contract_with_the_same_hash() -> None:
    permit = sign_permit(CONTRACT, CONTRACT.hash, "media", key_of("media"))
    assert not contract_signed(CONTRACT, "media", permit.signature)
    assert contract_signed(CONTRACT, "media", sign_contract(CONTRACT, "media", key_of("media")))


@pytest.mark.parametrize("text", ["", "zz" * 64, "ab"])
def test_what_is_no_signature_is_not_valid(text: str) -> None:
    assert not contract_signed(CONTRACT, "media", text)


def test_signing_with_another_key_or_as_a_stranger_is_refused_at_once() -> None:
    with pytest.raises(Refusal) as caught:
        Bundle(CONTRACT).signed("media", key_of("retailer"))
    assert caught.value.code == "contract.key"
    with pytest.raises(Refusal) as caught:
        sign_permit(CONTRACT, JOB, "stranger", key_of("stranger"))
    assert caught.value.code == "contract.party"


def test_a_bundle_survives_its_file_at_every_stage_of_signing() -> None:
    bundle = Bundle(CONTRACT)
    for party in ("", *PARTIES):
        bundle = bundle.signed(party, key_of(party)) if party else bundle
        again = Bundle.from_json(bundle.to_json())
        assert again == bundle
        assert again.missing() == bundle.missing()


def test_two_halves_of_the_signatures_merge() -> None:
    left = Bundle(CONTRACT, {p: SIGNED.signatures[p] for p in PARTIES[:2]})
    right = Bundle(CONTRACT, {p: SIGNED.signatures[p] for p in PARTIES[2:]})
    left.merged(right).verify_all()
    fields = contract_fields()
    fields["version"] = 2
    with pytest.raises(Refusal) as caught:
        left.merged(Bundle(Contract.from_fields(fields)))
    assert caught.value.code == "contract.hash"


def test_a_changed_text_in_a_file_is_found_before_signatures_are_looked_at() -> None:
    document = json.loads(SIGNED.to_json())
    document["contract"]["maximum_jobs"] = 10_000
    with pytest.raises(Refusal) as caught:
        Bundle.from_json(json.dumps(document))
    assert caught.value.code == "contract.hash"


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("format", "hanse-bundle-v9", "hanse-bundle-v1"),
        ("signatures", {"media": "abc"}, "signatures.media: must be 128"),
        ("signatures", None, "signatures"),
        ("contract", {}, "is missing"),
        ("note", "hello", "note: is not a known key"),
    ],
)
def test_a_file_that_is_no_bundle_is_refused(key: str, value: object, words: str) -> None:
    document = json.loads(SIGNED.to_json())
    document[key] = value
    with pytest.raises(Refusal, match=words) as caught:
        Bundle.from_json(json.dumps(document))
    assert caught.value.code == "contract.malformed"


@pytest.mark.parametrize("data", [b"", b"[]", b"\xff\xfe", b"{"])
def test_bytes_that_are_no_bundle_are_refused(data: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        Bundle.from_json(data)
    assert caught.value.code == "contract.malformed"


def permits(*parties: str, job: str = JOB) -> list[Permit]:
    return [sign_permit(CONTRACT, job, party, key_of(party)) for party in parties]


def test_permits_of_all_required_parties_are_enough() -> None:
    verify_permits(CONTRACT, JOB, permits(*PARTIES), PARTIES[:3])


def test_the_party_without_a_permit_is_named() -> None:
    with pytest.raises(Refusal) as caught:
        verify_permits(CONTRACT, JOB, permits("media", "retailer"), PARTIES)
    code, message = code_and_text(caught)
    assert code == "permit.missing"
    assert message.startswith("coupons, neutral ")


def test_one_party_cannot_permit_twice_for_two() -> None:
    with pytest.raises(Refusal, match="neutral"):
        verify_permits(CONTRACT, JOB, permits("media", "media"), ["media", "neutral"])


def test_a_permit_for_another_job_is_foul() -> None:
    with pytest.raises(Foul) as caught:
        verify_permits(CONTRACT, JOB, permits("media", job="11" * 32), ["media"])
    code, message = code_and_text(caught)
    assert code == "permit.signature"
    assert "media is for another job" in message


def test_a_permit_relabelled_to_another_job_or_party_is_foul() -> None:
    (other,) = permits("media", job="11" * 32)
    (mine,) = permits("media")
    for forged in (
        Permit(job_hash=JOB, party="media", signature=other.signature),
        Permit(job_hash=JOB, party="neutral", signature=mine.signature),
        Permit(job_hash=JOB, party="stranger", signature=mine.signature),
    ):
        with pytest.raises(Foul, match=forged.party) as caught:
            verify_permits(CONTRACT, JOB, [forged], ["media"])
        assert caught.value.code == "permit.signature"


def test_a_permit_travels_as_plain_values_and_is_checked_on_arrival() -> None:
    (permit,) = permits("media")
    assert Permit.from_fields(permit.fields()) == permit
    with pytest.raises(Refusal, match="signature") as caught:
        Permit.from_fields({**permit.fields(), "signature": "00"})
    assert caught.value.code == "permit.malformed"
