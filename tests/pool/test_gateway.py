"""`interp openai`: the OpenAI client, and what evaluation harnesses send, against a real pool."""

import http.client
import json
import subprocess
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import openai
import pytest
import torch

import interp_magics as im
from interp_magics.program import Stage, Surprisal, Tap
from interp_magics.program.language import Edit
from interp_magics.program.operations import Add, Copy, Stored
from tests.engine import reference
from tests.pool.conftest import wait_for
from tests.pool.served import INTERP, Served

PROMPT = "The quick brown fox"


@pytest.fixture(scope="module")
def served(model, tmp_path_factory):
    """A shared pool."""
    one = Served(tmp_path_factory.mktemp("served") / "pool", ["--model", f"tiny={model}", "--port", "0"])
    one.start()
    yield one
    one.kill(2)


@pytest.fixture(scope="module")
def pool(served):
    with im.connect(served.connection) as pool:
        pool.card()
        yield pool


@pytest.fixture(scope="module")
def steered(pool):
    """A version of an intervention."""
    return pool.intervention("formal", vector(pool, 0).edit(8.0))


@pytest.fixture(scope="module")
def gateway(served, pool, steered, tmp_path_factory):
    """Host and port of the endpoint, and the key."""
    place = tmp_path_factory.mktemp("gateway")
    (place / "key").write_text("a key of twenty letters\n")
    file = steered.save(place / "formal.safetensors")
    asked = command(str(file), "--pool", str(served.connection), "--key-file", str(place / "key"))
    process = subprocess.Popen(asked, stdout=subprocess.PIPE, text=True)
    address = process.stdout.readline().strip().removeprefix("serving http://").removesuffix("/v1")
    yield address, "a key of twenty letters"
    process.terminate()
    assert process.wait(120) == 0
    process.stdout.close()


@pytest.fixture
def client(gateway):
    address, key = gateway
    return openai.OpenAI(base_url=f"http://{address}/v1", api_key=key, max_retries=0)


def command(*arguments):
    return [*INTERP, "openai", "--port", "0", *arguments]


def vector(pool, seed):
    direction = np.random.default_rng(seed).standard_normal(pool.card().d_model).astype(np.float32)
    return im.SteeringVector({1: direction}, name="formal")


def posted(gateway, path, body, **headers):
    """(status, answer) of a request as it is on the wire."""
    address, key = gateway
    connection = http.client.HTTPConnection(address, timeout=120)
    given = {"Content-Type": "application/json", "Authorization": f"Bearer {key}", **headers}
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    connection.request("POST", path, data, {k: v for k, v in given.items() if v})
    answer = connection.getresponse()
    told = json.loads(answer.read())
    connection.close()
    return answer.status, told


def test_models_are_those_of_the_pool_and_interventions_by_name_and_version(client, steered):
    assert [one.id for one in client.models.list()] == ["tiny", steered.id]
    assert steered.id.startswith("formal@") and len(steered.id) == len("formal@") + 12


def test_another_version_is_another_id_and_a_file_is_read_as_it_was_written(pool, steered, tmp_path):
    again, other = (
        pool.intervention("formal", vector(pool, 0).edit(8.0)),
        pool.intervention("formal", vector(pool, 0).edit(4.0)),
    )
    assert again.id == steered.id != other.id
    read = im.load(steered.save(tmp_path / "one.safetensors"))
    assert (read.id, read.meta) == (steered.id, steered.meta)
    plain = pool.generate(PROMPT, 8, steer=vector(pool, 0).edit(8.0))
    assert pool.generate(PROMPT, 8, steer=read).text == plain.text != pool.generate(PROMPT, 8).text


def test_completions_are_what_the_pool_generates_with_and_without_an_intervention(client, pool, steered):
    for name, steer in (("tiny", ()), (steered.id, vector(pool, 0).edit(8.0))):
        made = client.completions.create(model=name, prompt=[PROMPT, "Paris is"], max_tokens=8, temperature=0)
        expected = pool.generate([PROMPT, "Paris is"], 8, steer=steer)
        assert [one.text for one in made.choices] == [one.text for one in expected]
        assert [one.finish_reason for one in made.choices] == [one.finish for one in expected]
        read = sum(one.meta.prompt_length for one in expected)
        assert (made.usage.prompt_tokens, made.usage.total_tokens) == (read, read + made.usage.completion_tokens)
        assert made.model == name
    drawn = client.completions.create(model="tiny", prompt=PROMPT, max_tokens=8, temperature=0.7, top_p=0.9, seed=5)
    assert drawn.choices[0].text == pool.generate(PROMPT, 8, 0.7, 0.9, seed=5).text
    ids = pool.tokenize(PROMPT).ids.tolist()
    assert client.completions.create(model="tiny", prompt=ids, max_tokens=3, temperature=0).choices[0].text


def test_chats_go_through_the_models_template_until_it_stops_or_the_context_is_full(client, pool):
    messages = [{"role": "user", "content": "Paris?"}]
    told = client.chat.completions.create(model="tiny", messages=messages, max_tokens=6, temperature=0)
    assert told.choices[0].message.content == pool.generate([messages], 6)[0].text
    free = client.chat.completions.create(model="tiny", messages=messages, temperature=0)
    room = pool.card().context - free.usage.prompt_tokens
    assert free.choices[0].finish_reason == "stop" or free.usage.completion_tokens == room


def test_log_probabilities_of_a_prompt_are_those_of_transformers_and_greedy_ones_are_the_best(client, pool, model):
    """As evaluation harnesses ask for the likelihood of an answer: echo, one more token, and the best in each place."""
    prompt = pool.tokenize(PROMPT).ids.tolist()
    told = client.completions.create(model="tiny", prompt=prompt, max_tokens=1, temperature=0, logprobs=2, echo=True)
    found = told.choices[0].logprobs
    whole = torch.tensor([prompt])
    with torch.no_grad():
        expected = torch.log_softmax(reference.load(model, torch.float32)(whole).logits[0].double(), -1)
    assert len(found.tokens) == len(prompt) + 1 and found.token_logprobs[0] is None
    for place, token in enumerate(prompt[1:], 1):
        assert found.token_logprobs[place] == pytest.approx(float(expected[place - 1, token]), abs=1e-4)
        assert max(found.top_logprobs[place].values()) == pytest.approx(float(expected[place - 1].max()), abs=1e-4)
    assert found.token_logprobs[-1] == max(found.top_logprobs[-1].values())
    assert told.choices[0].text == PROMPT + pool.generate(PROMPT, 1).text and found.text_offset[1] == len(
        found.tokens[0]
    )
    only = client.completions.create(model="tiny", prompt=prompt, max_tokens=0, logprobs=0, echo=True).choices[0]
    assert only.logprobs.token_logprobs == pytest.approx(found.token_logprobs[:-1], abs=1e-5)


def test_log_probabilities_under_an_intervention_are_those_of_the_edited_model(client, pool, steered):
    ids = pool.tokenize(PROMPT).ids.tolist()
    told = client.completions.create(model=steered.id, prompt=ids, max_tokens=0, logprobs=0, echo=True)
    steering = [one.edit for one in steered.edit()]
    program = im.program.Program(
        (im.program.Row(im.program.Ids(tuple(ids))),), (Stage((Tap("ln_final", reduce=Surprisal()),), tuple(steering)),)
    )
    objects = {v.digest: v.data for one in steered.edit() for v in one.vectors}
    expected = -pool.run(program, objects).read()["surprisal"].reshape(-1)[:-1]
    assert told.choices[0].logprobs.token_logprobs[1:] == pytest.approx(expected.tolist(), abs=1e-5)


@pytest.mark.parametrize(
    ("path", "changes", "said"),
    [
        (
            "completions",
            {"model": "formal@000000000000"},
            "there is no model 'formal@000000000000'; there is tiny, formal@",
        ),
        ("completions", {"edits": []}, "'edits' is not known here"),
        ("completions", {"n": 2}, "n cannot be 2 here"),
        ("completions", {"stream": True, "logprobs": 1}, "a stream has neither echo nor logprobs"),
        ("completions", {"stream": True, "prompt": "word " * 400}, "context"),
        ("completions", {"stream": "yes"}, "Expected `bool | null`"),
        ("completions", {"temperature": -1}, "temperature must be 0 (greedy) or more"),
        ("completions", {"logprobs": 21}, "logprobs must be between 0 and 20"),
        ("completions", {"logprobs": 1, "stop": ["a"]}, "stop and logprobs together"),
        ("completions", {"prompt": [[0, 9_999_999]]}, "9999999"),
        ("completions", {"prompt": ["a", 3]}, "not a mixture"),
        ("completions", {"prompt": [10**23]}, "is no token id"),
        ("completions", {"max_tokens": 10**23}, "max_new_tokens must be at least 1, and below 2^31"),
        ("completions", {"stop": ["a"] * 17}, "at most 16 stop strings, of at most 256 characters"),
        ("completions", {"stop": "a" * 257, "stream": True}, "at most 16 stop strings"),
        ("completions", {"prompt": []}, "there is no text to run"),
        ("completions", {"prompt": "word " * 400}, "context"),
        ("completions", {"max_tokens": 0}, "max_tokens must be 1 or more"),
        ("completions", {"max_tokens": "many"}, "Expected `int | null`, got `str` - at `$.max_tokens`"),
        ("chat/completions", {"prompt": None}, "'prompt' is not known here"),
    ],
)
def test_what_is_wrong_is_said_in_the_form_of_the_api_and_harms_nobody(gateway, path, changes, said):
    body = {"model": "tiny", "prompt": "a", "max_tokens": 2, **changes}
    status, told = posted(gateway, f"/v1/{path}", body)
    assert status == (404 if "no model" in said else 400)
    assert said in told["error"]["message"] and told["error"]["type"] == "invalid_request_error"
    assert posted(gateway, "/v1/completions", {"model": "tiny", "prompt": "a", "max_tokens": 2})[0] == 200


def test_strangers_pages_of_other_sites_and_other_paths_get_nothing(gateway):
    body = {"model": "tiny", "prompt": "a"}
    assert posted(gateway, "/v1/completions", body, Authorization="Bearer wrong")[0] == 401
    assert posted(gateway, "/v1/completions", body, Authorization="")[0] == 401
    assert posted(gateway, "/v1/completions", body, **{"Content-Type": "text/plain"})[0] == 415
    for broken in (b"{", b"[" * 100_000, b"\xff", b"3", b'{"model": "\xff", "prompt": "a"}'):
        assert posted(gateway, "/v1/completions", broken)[0] == 400
    assert posted(gateway, "/v1/embeddings", body)[0] == 404
    assert posted(gateway, "/v1/models", body)[0] == 405


@pytest.mark.parametrize("stream", [False, True])
def test_a_job_ends_with_the_connection_of_who_asked(stream, gateway, pool):
    address, key = gateway
    connection = http.client.HTTPConnection(address)
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
    body = {"model": "tiny", "prompt": ["a"] * 400, "max_tokens": 100, "temperature": 0, "stream": stream}
    before = {job.job for job in pool.jobs()}
    connection.request("POST", "/v1/completions", json.dumps(body), headers)
    wait_for(lambda: [job for job in pool.jobs() if job.job not in before])
    connection.close()
    (mine,) = [job.job for job in pool.jobs() if job.job not in before]
    wait_for(lambda: next(job.state for job in pool.jobs() if job.job == mine) == "cancelled")


def test_streams_bring_what_is_answered_whole_as_it_grows(client, pool, steered):
    for stop in (None, [pool.generate(PROMPT, 60).text[20:24]]):
        asked = {"prompt": [PROMPT, "Paris is"], "max_tokens": 60, "temperature": 0, "stop": stop}
        for name in ("tiny", steered.id):
            whole = client.completions.create(model=name, **asked)
            parts = list(client.completions.create(model=name, **asked, stream=True))
            for index, choice in enumerate(whole.choices):
                mine = [part.choices[0] for part in parts if part.choices[0].index == index]
                assert "".join(one.text for one in mine) == choice.text
                assert [one.finish_reason for one in mine if one.finish_reason] == [choice.finish_reason]
    messages = [{"role": "user", "content": "Paris?"}]
    asked = {"model": "tiny", "messages": messages, "temperature": 0}
    whole = client.chat.completions.create(**asked)
    *parts, last = client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    assert "".join(part.choices[0].delta.content for part in parts) == whole.choices[0].message.content
    assert [part.choices[0].delta.role for part in parts] == ["assistant"] + [None] * (len(parts) - 1)
    assert len(parts) > 2 and last.choices == [] and last.usage == whole.usage


def test_many_at_once_are_all_answered(gateway, pool):
    expected = pool.generate(PROMPT, 6).text
    body = {"model": "tiny", "prompt": PROMPT, "max_tokens": 6, "temperature": 0}
    with ThreadPoolExecutor(8) as threads:
        told = list(threads.map(lambda _: posted(gateway, "/v1/completions", body), range(24)))
    assert [(status, one["choices"][0]["text"]) for status, one in told] == [(200, expected)] * 24


def test_what_cannot_be_served_is_refused_at_the_start(served, pool, steered, tmp_path):
    def refused(*arguments):
        asked = command(*arguments, "--pool", str(served.connection))
        ended = subprocess.run(asked, capture_output=True, text=True, timeout=120, check=False)
        assert ended.returncode == 2
        return ended.stderr

    assert "can be reached by others" in refused("--host", "0.0.0.0")
    (tmp_path / "short").write_text("short")
    assert "shorter than 16" in refused("--key-file", str(tmp_path / "short"))
    completion = pool.lens(PROMPT).save(tmp_path / "lens.safetensors")
    assert "holds no intervention but a LensRun" in refused(str(completion))
    whole = steered.save(tmp_path / "formal.safetensors").read_bytes()
    (tmp_path / "moved").write_bytes(whole.replace(pool.card().digest.encode(), b"0" * 64))
    assert "was made for another checkpoint of 'tiny'" in refused(str(tmp_path / "moved"))
    (tmp_path / "torn").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "is not whole" in refused(str(tmp_path / "torn"))


@pytest.mark.parametrize(
    ("name", "edits", "said"),
    [
        ("Formal tone", None, "is no name of an intervention"),
        ("formal", (), "does nothing"),
        ("formal", Edit("resid_post", 1, Copy(0)), "row"),
        ("formal", Edit("resid_post", 1, Add(Stored("0" * 64, "d"), 1.0), rows=(1,)), "row"),
        ("formal", Edit("resid_past", 1, Add(Stored("0" * 64, "d"), 1.0)), "resid_past"),
        ("formal", Edit("resid_post", 1, Add(Stored("0" * 64, "d"), 1.0)), "is not whole"),
    ],
)
def test_an_intervention_that_is_none_is_refused(pool, name, edits, said):
    with pytest.raises(im.RequestError, match=said):
        pool.intervention(name, vector(pool, 0) if edits is None else edits)
