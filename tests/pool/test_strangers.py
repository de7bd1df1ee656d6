"""Who may speak to a broker: strangers get no answer, hostile clients harm nobody, roles are kept apart."""

import os
import random
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
import zmq

from interp_magics.broker.admission import CLIENT, WORKER, Key
from interp_magics.broker.server import Keys, Server, Settings
from interp_magics.methods.tokenize.request import TokenizeRequest
from interp_magics.wire.frames import Reader, write, write_bytes
from interp_magics.wire.keys import KeyPair, use_client_keys
from interp_magics.wire.messages import (
    MAJOR,
    CancelJob,
    Failure,
    Fetch,
    Follow,
    Hello,
    PoolState,
    Put,
    Stat,
    Submit,
    ToClient,
    ToWorker,
    Welcome,
)
from interp_magics.wire.standing import Limits
from tests.unit.test_book import card

#: Milliseconds that are waited for an answer; it ends a hang.
PATIENCE = 120_000


class Broker:
    """A broker in a thread, with two users and a worker key."""

    def __init__(self, directory: Path) -> None:
        self.keys = {name: KeyPair.make() for name in ("server", "ada", "bob", "worker", "stranger")}
        admitted = {self.keys[u].public: Key(u, CLIENT) for u in ("ada", "bob")}
        admitted[self.keys["worker"].public] = Key("worker", WORKER)
        limits = Limits(message_bytes=1 << 20, store_bytes=1 << 16, queued_jobs=5)
        self.server = Server(Settings(directory, ("m",), limits=limits), Keys(self.keys["server"], admitted))
        self.stopping = False
        self.thread = threading.Thread(target=self.server.run, args=(lambda: not self.stopping,))
        self.thread.start()
        self.context = zmq.Context()
        self.sockets: list[zmq.Socket[bytes]] = []

    def socket(self, who: str, endpoint: str | None = None, curve: bool = True) -> "zmq.Socket[bytes]":
        made = self.context.socket(zmq.DEALER)
        made.linger = 0
        if curve:
            use_client_keys(made, self.keys[who], self.keys["server"].public)
        made.connect(endpoint or (self.server.worker_endpoint if who == "worker" else self.server.client_endpoint))
        self.sockets.append(made)
        return made

    def close(self) -> None:
        self.stopping = True
        self.thread.join()
        for socket in self.sockets:
            socket.close()
        self.context.term()
        self.server.close()


@pytest.fixture
def broker(tmp_path):
    made = Broker(tmp_path)
    yield made
    healthy = made.socket("bob")
    assert isinstance(ask(healthy, Hello(major=MAJOR, minor=0)), Welcome)
    made.close()


def ask(socket, message, payload=None, union=ToClient, wait=PATIENCE):
    socket.send_multipart(write(message) if payload is None else write_bytes(message, payload))
    return hear(socket, union, wait)


def hear(socket, union=ToClient, wait=PATIENCE):
    return Reader(union).read(socket.recv_multipart())[0] if socket.poll(wait) else None


def submit(job="0123456789abcdef", **fields):
    return Submit(**{"job": job, "model": "m", "request": TokenizeRequest(), **fields})


def test_who_one_is_is_what_the_key_says(broker):
    assert ask(broker.socket("ada"), Hello(major=MAJOR, minor=0)).user == "ada"


@pytest.mark.parametrize("who", ["stranger", "worker"])
def test_a_key_that_is_not_a_clients_gets_no_answer(broker, who):
    assert ask(broker.socket(who, broker.server.client_endpoint), Hello(major=MAJOR, minor=0), wait=500) is None


def test_a_connection_without_keys_gets_no_answer(broker):
    assert (
        ask(broker.socket("x", broker.server.client_endpoint, curve=False), Hello(major=MAJOR, minor=0), wait=500)
        is None
    )


def test_a_users_key_does_not_open_the_workers_endpoint(broker):
    from interp_magics.wire.messages import Ready

    intruder = broker.socket("ada", broker.server.worker_endpoint)
    intruder.send_multipart(write(Ready(group="evil", epoch="0123456789", card=card())))
    assert hear(intruder, ToWorker, 300) is None
    state = ask(broker.socket("bob"), Stat(number=1))
    assert isinstance(state, PoolState) and state.models[0].workers == 0


def test_a_client_that_speaks_as_a_worker_is_told_the_schema(broker):
    from interp_magics.wire.messages import Beat

    answer = ask(broker.socket("ada"), Beat(group="g", model="m", state="failed", trouble="ha"))
    assert isinstance(answer, Failure) and answer.code == "protocol"
    assert ask(broker.socket("bob"), Stat(number=1)).models[0].state == "waiting"


@pytest.mark.parametrize("message", [CancelJob, Fetch, Follow])
def test_anothers_job_is_a_job_that_does_not_exist(broker, message):
    ada, bob = broker.socket("ada"), broker.socket("bob")
    ask(ada, submit())
    theirs = ask(bob, message(job="0123456789abcdef"))
    none = ask(bob, message(job="fedcba9876543210"))
    assert theirs.code == none.code == "unknown_job"
    assert theirs.message.replace("0123456789abcdef", "") == none.message.replace("fedcba9876543210", "")
    assert ask(bob, Stat(number=1)).jobs == ()
    hear(ada)
    assert [j.state for j in ask(ada, Stat(number=1)).jobs] == ["queued"]


def test_the_same_id_again_is_the_same_job_and_of_each_user_their_own(broker):
    ada, bob = broker.socket("ada"), broker.socket("bob")
    for socket in (ada, ada, bob):
        assert ask(socket, submit()).job == "0123456789abcdef"
    ada.send_multipart(write(Stat(number=1)))
    while not isinstance(state := hear(ada), PoolState):
        assert state.job == "0123456789abcdef"
    assert len(state.jobs) == 1 and state.queued == 2


def test_anothers_object_is_missing_and_a_false_digest_refused(broker):
    from hashlib import sha256

    from interp_magics.methods.generate.request import GenerateRequest
    from interp_magics.program.language import Edit, Plain, Sampling
    from interp_magics.program.operations import Add, Stored

    data = b"secret"
    digest = sha256(data).hexdigest()
    ada, bob = broker.socket("ada"), broker.socket("bob")
    assert ask(ada, Put(digest=digest), data).digest == digest
    assert ask(bob, Put(digest=digest), b"forged").code == "bad_request"
    edit = Edit("resid_post", 0, Add(Stored(digest, "x")))
    request = GenerateRequest((Plain("x"),), Sampling(1), (edit,))
    assert ask(bob, submit(request=request)).missing == (digest,)


def test_quotas_hold(broker):
    from hashlib import sha256

    ada = broker.socket("ada")
    data = os.urandom(1 << 15)
    codes = []
    for i in range(3):
        each = bytes([i]) + data[1:]
        answer = ask(ada, Put(digest=sha256(each).hexdigest()), each)
        codes.append(getattr(answer, "code", "ok"))
    assert codes == ["ok", "ok", "quota"]
    answers = [ask(ada, submit(f"{i:016d}")) for i in range(12)]
    assert any(isinstance(a, Failure) and a.code == "busy" for a in answers)


def test_an_old_client_is_told_which_side_to_upgrade(broker):
    answer = ask(broker.socket("ada"), Hello(major=MAJOR - 1, minor=0))
    assert answer.code == "version" and "upgrade the client" in answer.message


def test_a_message_beyond_the_limit_ends_the_connection_not_the_broker(broker):
    ada = broker.socket("ada")
    ada.send_multipart([b"IMP1", b"x" * (2 << 20)])
    assert hear(ada, wait=300) is None


def test_random_frames_from_clients_and_strangers_harm_nobody(broker):
    draw = random.Random(7)
    plain = broker.socket("x", broker.server.client_endpoint, curve=False)
    hostile = [broker.socket("ada"), broker.socket("stranger", broker.server.client_endpoint), plain]
    seeds = [write(m) for m in (submit(), Stat(), Hello(major=1, minor=0), CancelJob(job="0123456789abcdef"))]
    for i in range(20_000):
        frames = [bytearray(f) for f in draw.choice(seeds)]
        victim = draw.choice(frames)
        victim[draw.randrange(len(victim))] = draw.randrange(256)
        if draw.random() < 0.3:
            frames = [draw.randbytes(draw.randrange(30)) for _ in range(draw.randrange(1, 5))]
        for socket in hostile:
            with suppress(zmq.Again):
                socket.send_multipart([bytes(f) for f in frames], zmq.NOBLOCK)
        if i % 500 == 0:
            time.sleep(0.01)
    assert hostile[1].poll(200) == 0 and hostile[2].poll(0) == 0


@pytest.mark.parametrize("kind", ["ready", "started", "done", "failed", "get", "assign", "restart"])
def test_a_users_key_does_not_speak_for_a_worker_or_the_pool(broker, kind):
    ada = broker.socket("ada")
    ada.send_multipart([b"IMP1", f'{{"type":"{kind}","job":"0123456789abcdef","attempt":1}}'.encode()])
    answer = hear(ada)
    assert isinstance(answer, Failure) and answer.code == "protocol"


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "https://example.org/model", "m\x00", "M"])
def test_a_model_is_one_of_the_pools_names_and_no_path(broker, name):
    answer = ask(broker.socket("ada"), submit(model=name))
    assert answer.code == "bad_request" and "does not serve" in answer.message


@pytest.mark.parametrize("job", ["../../journal", "0123456789abcdef/0", "", "x" * 41, "ABCDEFGH"])
@pytest.mark.parametrize("kind", ["fetch", "cancel", "submit", "release", "share"])
def test_an_id_that_could_be_a_path_or_a_part_is_out_of_schema(broker, job, kind):
    ada = broker.socket("ada")
    ada.send_multipart([b"IMP1", f'{{"type":"{kind}","job":"{job}","number":1}}'.encode()])
    assert hear(ada).code == "protocol"


def test_a_pool_that_cannot_do_something_is_to_be_upgraded(pool, monkeypatch):
    import msgspec

    import interp_magics as im

    older = msgspec.structs.replace(pool._connection.welcome, capabilities=())
    monkeypatch.setattr(pool._connection, "welcome", older)
    with pytest.raises(im.RequestError, match="cannot 'share': upgrade the pool"):
        pool.lens([0, 1, 2], wait=False).share("bob")
