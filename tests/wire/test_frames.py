"""Whatever comes off the wire is a message of the schema or a WireError, never anything else."""

import os
import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interp_magics.methods.lens.request import LensRequest
from interp_magics.program.language import Edit, Plain, Sampling
from interp_magics.program.operations import Add, Stored
from interp_magics.wire.frames import MAGIC, Reader, WireError, write, write_bytes
from interp_magics.wire.messages import (
    Beat,
    BufferSpec,
    CancelJob,
    Done,
    Event,
    FromClient,
    FromWorker,
    Hello,
    Put,
    Stat,
    Submit,
    ToClient,
)

EDIT = Edit("resid_post", 1, Add(Stored("a" * 64, "x"), 2.0))
REQUEST = LensRequest((Plain("héllo {x} </script>"),), track=(3, " Paris"), sampling=Sampling(3), steer=(EDIT,))
MESSAGES = [
    (FromClient, Hello(major=1, minor=0)),
    (FromClient, Submit(job="0123456789abcdef", model="m", request=REQUEST)),
    (FromClient, CancelJob(job="0123456789abcdef")),
    (FromClient, Stat(number=3)),
    (FromWorker, Event(job="00000001", attempt=1, seq=2, part="generated", text="x")),
    (FromWorker, Beat(group="g", model="m", state="alive")),
    (ToClient, Done(job="0123456789abcdef", attempt=1, size=3)),
]


@pytest.mark.parametrize(("union", "message"), MESSAGES)
def test_a_message_is_read_as_it_was_written(union, message):
    assert Reader(union).read(write(message)) == (message, [])


def test_a_buffer_must_be_as_long_as_it_says():
    frames = write_bytes(Put(digest="a" * 64), b"12345")
    message, buffers = Reader(FromClient).read(frames)
    assert buffers == [b"12345"] and message.buffers == (BufferSpec("uint8", (5,)),)
    with pytest.raises(WireError, match="4 bytes"):
        Reader(FromClient).read([*frames[:2], b"1234"])
    with pytest.raises(WireError, match="buffers came"):
        Reader(FromClient).read(frames[:2])


@pytest.mark.parametrize(
    "header",
    [
        b'{"type":"put","digest":"' + b"a" * 64 + b'","buffers":[{"dtype":"object","shape":[1]}]}',
        b'{"type":"put","digest":"' + b"a" * 64 + b'","buffers":[{"dtype":"uint8","shape":[-1]}]}',
        b'{"type":"put","digest":"../../etc/passwd"}',
        b'{"type":"cancel","job":"../x"}',
        b'{"type":"cancel","job":"0123456789abcdef","user":"root"}',
        b'{"type":"submit","job":"0123456789abcdef","model":"m","request":{"type":"exec","code":"1"}}',
        b'{"type":"stat","number":1e400}',
        b'{"type":"stat","number":NaN}',
        b"[" * 100_000,
    ],
)
def test_what_is_out_of_the_schema_is_refused(header):
    with pytest.raises(WireError):
        Reader(FromClient).read([MAGIC, header])


def test_a_shape_that_overflows_does_not_become_a_small_size():
    spec = f'{{"dtype":"float64","shape":[{2**53},{2**53}]}}'.encode()
    header = b'{"type":"put","digest":"' + b"a" * 64 + b'","buffers":[' + spec + b"]}"
    with pytest.raises(WireError):
        Reader(FromClient).read([MAGIC, header, b""])


def test_a_greeting_may_carry_fields_of_a_later_minor_version():
    header = b'{"type":"hello","major":1,"minor":9,"compression":"zstd"}'
    assert Reader(FromClient).read([MAGIC, header])[0] == Hello(major=1, minor=9)


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=40), max_size=5))
def test_random_frames_are_a_wire_error(frames):
    with pytest.raises(WireError):
        Reader(FromClient).read(frames)


def test_a_million_random_and_mutated_frames_raise_nothing_else():
    draw = random.Random(20)
    readers = {union: Reader(union) for union in (FromClient, FromWorker, ToClient)}
    seeds = [(readers[union], write(message)[1]) for union, message in MESSAGES]
    read = 0
    for _ in range(1_000_000):
        reader, header = draw.choice(seeds)
        mutated = bytearray(header)
        for _ in range(draw.randrange(1, 4)):
            place = draw.randrange(len(mutated))
            mutated[place : place + draw.choice((0, 1, 1, 4))] = draw.randbytes(draw.choice((0, 1, 1, 3)))
            if not mutated:
                break
        try:
            reader.read([MAGIC, bytes(mutated)])
            read += 1
        except WireError:
            pass
    assert read < 900_000


def test_headers_and_buffers_have_a_limit():
    with pytest.raises(WireError, match="header"):
        Reader(FromClient).read([MAGIC, os.urandom(9 << 20)])
    with pytest.raises(WireError, match="buffers"):
        Reader(FromClient).read([MAGIC, msgspec.json.encode(Stat())] + [b""] * 65)
