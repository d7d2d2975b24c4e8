"""What a message costs a codec: that every way really does the work, and that it is measured by the message."""

import pytest

from labs import frames, measure
from labs.measure import codec_cost


@pytest.mark.parametrize("size", [0, 64, 200_000])
@pytest.mark.parametrize("name", codec_cost.ENCODERS)
def test_every_encoder_puts_the_message_into_one_masked_frame(name, size):
    written = codec_cost.ENCODERS[name](payload := bytes(range(256)) * (size // 256))()
    assert list(frames.FrameReader(masked=True).feed(written)) == [frames.Frame(frames.Opcode.BINARY, payload)]


@pytest.mark.parametrize("size", [0, 64, 200_000])
@pytest.mark.parametrize("name", codec_cost.DECODERS)
def test_every_decoder_gets_the_message_out_of_its_frame_and_can_do_so_again(name, size):
    once = codec_cost.DECODERS[name](payload := bytes(range(256)) * (size // 256))
    assert [once(), once()] == [payload, payload]


def test_found_are_milliseconds_for_each_codec_and_size_and_more_bytes_take_longer():
    found = measure.codec((64, 2**18), rounds=5)
    assert set(found) >= {"labs.frames", "websockets"}
    for by_size in found.values():
        assert [latency.n for latency in by_size.values()] == [5, 5]
        assert 5 * by_size[64].percentile(50) < by_size[2**18].percentile(50)
