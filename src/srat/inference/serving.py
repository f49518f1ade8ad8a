"""A run's model behind HTTP: images come in, classes go out; FastAPI and uvicorn are in the extra "serve"."""

import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from typing_extensions import TypedDict

from srat.core.errors import UserError, printable, require, require_field
from srat.core.files import size
from srat.core.words import counted
from srat.data.reading.decoding import LARGEST_IMAGE, opened
from srat.data.reading.image_files import ImageFiles, channels_first, try_each
from srat.inference.prediction import check_top, in_plain, likeliest
from srat.inference.reading import files_for
from srat.runs.run import ModelFacts
from srat.version import version

if TYPE_CHECKING:
    from fastapi import FastAPI

MEGA = 10**6
_OVERHEAD = 1 << 16
"""Bytes of a request beside the images' own."""
_AT_ONCE = 64
"""Connections; further ones are told to come back."""
_PATIENCE = 10
"""Seconds that requests have to end in once the server is to stop."""
_SAFE = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src blob:"
_MISSING = "srat serve needs FastAPI and uvicorn: pip install 'srat[serve]'"

Shown = TypedDict("Shown", {"class": str, "probability": float | None})
"""A class, and what the model gives it."""
Answer = TypedDict("Answer", {"file": str, "class": str, "probability": float | None, "top": list[Shown]})
"""What an image is taken for."""


class Answers(TypedDict):
    """What each image of a request is taken for, in their order."""

    predictions: list[Answer]


class Health(TypedDict):
    """What is served."""

    status: str
    model: str
    classes: list[str]
    version: str


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a request may ask for."""

    max_images: int = 32
    """Images in a request."""
    max_megabytes: float = 20.0
    """Size of an image's file, in millions of bytes."""
    max_megapixels: float = LARGEST_IMAGE / MEGA
    """Width times height of an image, in millions of pixels."""

    def __post_init__(self) -> None:
        images, most = self.max_images, LARGEST_IMAGE / MEGA
        require_field(1 <= images <= 1000, "max_images", "1 to 1,000 images", images)
        bytes_, pixels = self.max_megabytes, self.max_megapixels
        require_field(0 < bytes_ <= 1000, "max_megabytes", "a number above 0, at most 1,000", bytes_, 0, 1000)
        require_field(0 < pixels <= most, "max_megapixels", f"a number above 0, at most {most:.4g}", pixels, 0, most)

    @property
    def bytes_of_image(self) -> int:
        """Bytes that a file may have."""
        return int(self.max_megabytes * MEGA)

    @property
    def bytes_of_request(self) -> int:
        """Bytes that a request may have."""
        return self.max_images * (self.bytes_of_image + 1024) + _OVERHEAD

    def exceeded(self, sizes: Sequence[tuple[str, int]]) -> str:
        """Return what is too much of images, given by name and bytes; "" if nothing is."""
        if len(sizes) > self.max_images:
            return f"expected at most {counted(self.max_images, 'image')} in a request, got {len(sizes):,}"
        large = ((name, bytes_) for name, bytes_ in sizes if bytes_ > self.bytes_of_image)
        name, bytes_ = next(large, ("", 0))
        return f"{name}: expected at most {size(self.bytes_of_image)}, got {size(bytes_)}" if bytes_ else ""


class Served:
    """A model that answers for images as they are sent.

    Args:
        model: the run's, on the device.
        facts: what its file of weights says of it.
        title: what it is called.
        device: where it computes.
        limits: of a request.
    """

    def __init__(
        self, model: nn.Module, facts: ModelFacts, *, title: str, device: torch.device, limits: Limits
    ) -> None:
        self.facts, self.title, self.limits = facts, title, limits
        self._model, self._device = model, device
        self._files: ImageFiles = files_for(facts.shape, facts.config.data)

    def answer(self, images: Sequence[tuple[str, BinaryIO]], top: int) -> list[Answer]:
        """Return what images are taken for.

        Args:
            images: their names and what is in their files.
            top: how many of the likeliest classes are told.

        Raises:
            UserError: if images cannot be read; it names each.
        """
        check_top(top, self.facts.class_names)
        read = try_each(self._pixels, images, 1)  # so that one at a time is decoded
        wrong = [each for each in read if isinstance(each, UserError)]
        if wrong:
            raise UserError("; ".join(map(str, wrong)))
        pixels = channels_first(np.stack([each for each in read if not isinstance(each, UserError)]))
        ranked = likeliest(self._model, pixels, top=top, device=self._device, temperature=self.facts.temperature)
        return [self._answer(name, shares) for (name, _), shares in zip(images, ranked, strict=True)]

    def _answer(self, name: str, shares: Sequence[Any]) -> Answer:
        top: list[Any] = in_plain(shares, self.facts.class_names)
        return {"file": name, "class": top[0]["class"], "probability": top[0]["probability"], "top": top}

    def _pixels(self, image: tuple[str, BinaryIO]) -> NDArray[np.uint8]:
        name, contents = image
        with opened(Path(name), contents, most_pixels=int(self.limits.max_megapixels * MEGA)) as read:
            return self._files.pixels(read)


def make_app(served: Served) -> "FastAPI":
    """Return the application: ``POST /predict``, ``GET /`` (a page), ``GET /health``, and OpenAPI's own.

    Raises:
        UserError: if FastAPI is not installed.
    """
    try:
        import python_multipart  # noqa: F401 - without it FastAPI takes no files
        from anyio import CapacityLimiter, to_thread
        from fastapi import FastAPI, File, HTTPException, Query, Request, UploadFile
        from fastapi.exceptions import RequestValidationError
        from fastapi.responses import HTMLResponse, JSONResponse
    except ImportError as error:
        raise UserError(_MISSING) from error

    limits, names = served.limits, served.facts.class_names
    one_at_a_time = CapacityLimiter(1)
    page = files("srat.inference").joinpath("page.html").read_text(encoding="utf-8")

    async def predict(
        request: Request,
        images: Annotated[list[UploadFile], File(description=f"Image files, at most {limits.max_images}.")],
        top: Annotated[int, Query(description=f"Classes told of each, 1 to {len(names)}.")] = 1,
    ) -> Answers:
        """Tell what images show: for each its class, the probability, and the likeliest classes."""
        strange = sorted({*await request.form()} - {"images"} | {*request.query_params} - {"top"})
        if strange:
            told = f"expected files called images, and ?top=K in the address; got {', '.join(map(repr, strange))}"
            raise HTTPException(422, printable(told))
        named = [(each.filename or f"image {place}", each) for place, each in enumerate(images, 1)]
        if told := limits.exceeded([(name, each.size or 0) for name, each in named]):
            raise HTTPException(413, printable(told))
        contents = [(name, each.file) for name, each in named]
        try:
            found = await to_thread.run_sync(served.answer, contents, top, limiter=one_at_a_time)
        except UserError as error:
            raise HTTPException(422, str(error).replace("`", "")) from error
        return {"predictions": found}

    async def health() -> Health:
        """Tell what is served."""
        return {"status": "ok", "model": served.title, "classes": list(names), "version": version()}

    async def root() -> HTMLResponse:
        return HTMLResponse(page, headers={"Content-Security-Policy": _SAFE})

    async def unfit(_: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        told = "; ".join(f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg']}" for each in error.errors())
        return JSONResponse({"detail": printable(told)}, 422)

    app = FastAPI(title=served.title, version=version(), description="What images show, as a trained model sees them.")
    refusals: dict[int | str, dict[str, Any]] = {
        413: {"description": "Too many images, or too large ones."},
        422: {"description": "No images, or such as cannot be read."},
    }
    app.add_api_route("/predict", predict, methods=["POST"], response_model=Answers, responses=refusals)
    app.add_api_route("/health", health, methods=["GET"], response_model=Health)
    app.add_api_route("/", root, methods=["GET"], include_in_schema=False)
    app.add_exception_handler(RequestValidationError, unfit)
    app.add_middleware(_Bounded, most=limits.bytes_of_request)
    return app


class _Bounded:
    """Ends requests that send more than is bearable.

    Args:
        app: what answers the others, by the rules of ASGI.
        most: bytes of a request.
    """

    def __init__(self, app: Any, most: int) -> None:
        self._app, self._most = app, most

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        read = 0

        async def counting() -> Any:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._most:
                from fastapi import HTTPException

                # uvicorn reads the rest and forgets it, so that the sender hears why.
                raise HTTPException(413, f"expected a request of at most {size(self._most)}, got a larger one")
            return message

        await self._app(scope, counting, send)


@contextmanager
def running(app: "FastAPI", *, host: str = "127.0.0.1", port: int = 0) -> Iterator[tuple[str, threading.Thread]]:
    """Serve an application in a thread, and stop it gracefully at the end.

    Args:
        app: the application.
        host: name or address of this machine, as others are to call it.
        port: where to listen; 0 for any that is free.

    Yields:
        The address, "http://127.0.0.1:8000", and the thread, which ends if the server does.

    Raises:
        UserError: if nothing can listen there, or uvicorn is not installed.
    """
    try:
        import uvicorn
    except ImportError as error:
        raise UserError(_MISSING) from error
    listening = _listening(host, port)
    config = uvicorn.Config(
        app,
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=_AT_ONCE,
        timeout_graceful_shutdown=_PATIENCE,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="srat-serve")
    thread.start()
    try:
        while thread.is_alive() and not server.started:
            time.sleep(0.01)
        require(thread.is_alive(), "the server did not start")
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{listening.getsockname()[1]}", thread
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


def _listening(host: str, port: int) -> socket.socket:
    require_field(0 <= port <= 65_535, "port", "0 to 65,535", port)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        why = error.strerror or str(error)
        raise UserError(f"cannot listen at `host` {host}, `port` {port} ({why})") from error
