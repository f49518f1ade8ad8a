"""``srat serve``, asked over a socket."""

import asyncio
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
import requests
import torch
from PIL import Image

from photographs import NAMES, photographs, untrained
from srat.core.errors import UserError
from srat.inference import serving
from srat.inference.serving import Limits, Served, make_app, running
from srat.runs.run import load_with_facts

HTTPException = pytest.importorskip("fastapi").HTTPException
pytest.importorskip("uvicorn")

LIMITS = Limits(max_images=9, max_megabytes=0.02, max_megapixels=0.01)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return untrained(tmp_path_factory.mktemp("served") / "run")


@pytest.fixture(scope="module")
def served(run):
    model, facts = load_with_facts(run)
    return Served(model, facts, title="ce on folder", device=torch.device("cpu"), limits=LIMITS)


@pytest.fixture(scope="module")
def address(served):
    with running(make_app(served)) as (address, _):
        yield address


def png(side=9, **options):
    file = io.BytesIO()
    Image.effect_noise((side, side), 60).save(file, "PNG", **options)
    return file.getvalue()


def ask(address, *images, top=None):
    files = [("images", image) for image in images]
    return requests.post(f"{address}/predict", files=files, params={} if top is None else {"top": top}, timeout=30)


class TestAnswers:
    def test_are_those_of_predict(self, address, run, cli, tmp_path):
        paths = photographs(tmp_path / "photographs")
        words = ("--format", "json", "--top", 3, "--attack", "natural", "--device", "cpu")
        wanted = json.loads(cli("predict", run, *paths.values(), *words)[1])["predictions"]
        answer = ask(address, *((name, path.read_bytes()) for name, path in paths.items()), top=3)
        assert answer.status_code == 200
        for found, row in zip(answer.json()["predictions"], wanted, strict=True):
            assert (found["file"], found["class"]) == (row["file"].rpartition("/")[2], row["class"])
            shares = ({each["class"]: each["probability"] for each in of["top"]} for of in (found, row))
            assert next(shares) == pytest.approx(next(shares), abs=2e-6)
            assert len(found["top"]) == 3

    def test_one_class_by_default_and_names_as_they_come(self, address):
        (found,) = ask(address, ("../../<b>.png", png())).json()["predictions"]
        assert found["file"] == "../../<b>.png"
        assert [{"class": found["class"], "probability": found["probability"]}] == found["top"]

    def test_come_one_at_a_time_and_others_are_heard_meanwhile(self, served, monkeypatch):
        """Two wait for a model that is slow, and a third asks after its health."""
        inside, most, answered = [], [], serving.likeliest

        def slow(*args, **options):
            inside.append(1)
            most.append(len(inside))
            time.sleep(0.5)
            inside.pop()
            return answered(*args, **options)

        monkeypatch.setattr(serving, "likeliest", slow)
        with running(make_app(served)) as (address, _):
            asking = [threading.Thread(target=ask, args=(address, ("x.png", png()))) for _ in range(2)]
            for thread in asking:
                thread.start()
            while not inside:
                time.sleep(0.01)
            assert requests.get(f"{address}/health", timeout=5).json()["status"] == "ok"
            assert inside
            for thread in asking:
                thread.join()
        assert most == [1, 1]

    def test_health_page_and_openapi(self, address):
        about = requests.get(f"{address}/health", timeout=5).json()
        assert (about["model"], about["classes"]) == ("ce on folder", list(NAMES))
        page = requests.get(f"{address}/", timeout=5)
        assert page.headers["content-security-policy"].startswith("default-src 'none'")
        assert not re.search(r"https?://", page.text)
        described = requests.get(f"{address}/openapi.json", timeout=5).json()
        assert list(described["paths"]) == ["/predict", "/health"]
        assert requests.get(f"{address}/docs", timeout=5).status_code == 200


class TestRefusals:
    @pytest.mark.parametrize(
        ("images", "top", "code", "said"),
        [
            ([("a.png", b"no image")], None, 422, "a.png: not a readable image"),
            ([("a.png", b"")], None, 422, "a.png: not a readable image"),
            (
                [("a.png", png()[:60]), ("b.png", png()), ("c.png", b"x")],
                None,
                422,
                r"a.png: .*; c.png: not a readable",
            ),
            ([("a.dng", png())], None, 422, r"a.dng: not read: camera raw \(.dng\)"),
            ([("a.eps", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")], None, 422, "not a readable image"),
            ([("a.png", png())], 4, 422, "top: expected 1 to 3 classes, got 4"),
            ([("a.png", png())], "x", 422, "top: Input should be a valid integer"),
            ([("a.png", png(side=101))], None, 422, "a.png: 101 × 101 pixels, expected at most 10,000 in all"),
            ([("a.png", png(side=9) + b"0" * 20_000)], None, 413, "a.png: expected at most 20 kB, got 20"),
            ([("a.png", png())] * 10, None, 413, "expected at most 9 images in a request, got 10"),
            ([("a.png", bytes(2_000_000))], None, 413, "expected a request of at most 255 kB, got a larger one"),
        ],
    )
    def test_are_one_line_with_a_fitting_code(self, address, images, top, code, said):
        answer = ask(address, *images, top=top)
        assert answer.status_code == code
        assert re.search(said, answer.json()["detail"])
        assert "\n" not in answer.json()["detail"]

    def test_of_other_fields(self, address):
        for fields, said in (
            ({"files": {"image": png()}}, "images: Field required"),
            ({"files": {"images": png()}, "data": {"top": 2}}, "expected files called images, .*; got 'top'"),
            ({"files": {"images": png()}, "params": {"k": 2}}, "expected files called images, .*; got 'k'"),
            ({"data": {"images": "x"}}, "images"),
        ):
            answer = requests.post(f"{address}/predict", timeout=5, **fields)
            assert answer.status_code == 422
            assert re.search(said, answer.json()["detail"])

    def test_no_more_of_a_body_is_taken_than_is_bearable(self):
        """Nothing says how long it is."""
        taken = []

        async def endless():
            return {"type": "http.request", "body": bytes(400), "more_body": True}

        async def greedy(scope, receive, send):
            while len(taken) < 100:
                taken.append(len((await receive())["body"]))

        with pytest.raises(HTTPException, match="at most 1 kB, got a larger one") as refusal:
            asyncio.run(serving._Bounded(greedy, most=1_000)({"type": "http"}, endless, None))
        assert (refusal.value.status_code, taken) == (413, [400, 400])

    def test_whoever_sends_a_large_body_hears_why_it_is_refused(self, address):
        def large():
            yield b'--x\r\nContent-Disposition: form-data; name="images"; filename="a.png"\r\n\r\n'
            for _ in range(300):
                yield bytes(100_000)

        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        assert requests.post(f"{address}/predict", data=large(), headers=headers, timeout=20).status_code == 413

    @pytest.mark.parametrize(
        ("limits", "said"),
        [
            ({"max_images": 0}, "`max_images`"),
            ({"max_megabytes": 0}, "`max_megabytes`"),
            ({"max_megapixels": 99}, "67"),
        ],
    )
    def test_of_limits_that_are_none(self, limits, said):
        with pytest.raises(UserError, match=said):
            Limits(**limits)

    def test_of_a_port_that_is_taken(self, served):
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            told = rf"cannot listen at `host` 127.0.0.1, `port` {port} \(.*in use"
            with pytest.raises(UserError, match=told), running(make_app(served), port=port):
                pass


def test_the_command_says_where_it_listens_and_ends_with_ctrl_c(run):
    words = ["-m", "srat", "serve", str(run), "--port", "0", "--device", "cpu"]
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, *words], text=True, env=env, **pipes) as process:
        said = process.stdout.readline()
        found = re.fullmatch(
            r"serving .*run \(ce on folder, 3 classes\) at (http://127\.0\.0\.1:\d+); Ctrl-C ends it\n", said
        )
        assert found, said
        assert ask(found[1], ("a.png", png())).status_code == 200
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, "", "srat: stopped by SIGINT\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "expected the folder of a run"),
        (["nowhere"], "'nowhere' is not a run's folder"),
        (["RUN", "--port", "70000"], "--port: expected 0 to 65,535, got 70000"),
        (["RUN", "--max-images", "0"], "--max-images: expected 1 to 1,000 images, got 0"),
    ],
)
def test_mistakes_are_one_line(cli, run, words, said):
    code, out, err = cli("serve", *(run if word == "RUN" else word for word in words))
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1
