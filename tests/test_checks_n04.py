"""What the answers in tests/exercises cannot show of notebook 04's checks: the limit of real time."""

from labs.checks import judge, n04


def test_mask_that_copies_everything_for_each_byte_is_too_slow(monkeypatch):
    def mask(data, key):
        result = b""
        for place, byte in enumerate(data):
            result += bytes([byte ^ key[place % 4]])
        return result

    monkeypatch.setattr(n04, "PATIENCE_S", 0.2)
    lines, verdict = judge("4.2", mask)
    assert verdict.diagnosis == "too-slow"
    assert [line[:4] for line in lines[1:5]] == ["  ✓ "] * 3 + ["  ✗ "]
