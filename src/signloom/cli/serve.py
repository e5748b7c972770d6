"""signloom serve: a page and an API on this machine."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from signloom.cli.options import above, whole
from signloom.cli.say import say
from signloom.runtime.text import json_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Serve models on this machine: a page that recognises signs in the browser, where nothing leaves it, and "
        "an API that names signs in files and frames that are sent. It listens on 127.0.0.1 alone, refuses other "
        "hosts and origins, and keeps nothing. Ctrl-C ends it."
    )
    parser.epilog = """examples:
  signloom serve runs/mine/model --open
  signloom serve runs/a runs/me --port 8080              several: a recogniser, a generator
  signloom serve web/signs                               a folder of `signloom export --to web`: the page alone
  curl --data-binary @clip.mp4 'http://127.0.0.1:8765/api/predict?top=3'

GET /api/models, /api/limits and /api/openapi.json tell the rest. Needs starlette, uvicorn and websockets: pip install
'signloom[serve]'; what a page runs is written once, which needs 'signloom[export]'."""
    parser.add_argument("model", type=Path, nargs="+", help="runs, checkpoints, fusions, or folders of web exports")
    parser.add_argument("--port", type=whole(0, 65535), default=8765, help="0: a free one (default: 8765)")
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: 127.0.0.1)")
    parser.add_argument("--open", action="store_true", help="open the page in a browser")
    parser.add_argument("--no-web", action="store_true", help="write nothing for pages: the API alone")
    parser.add_argument("--cache", type=Path, metavar="FOLDER", help="where what is written for pages is kept")
    parser.add_argument("--workers", type=whole(1, 64), default=1, help="clips answered at once (default: 1)")
    parser.add_argument("--max-mb", type=above(), default=256, help="the largest file taken, in MiB (default: 256)")
    parser.add_argument("--max-frames", type=whole(1), default=3000, help="the longest clip taken (default: 3000)")
    parser.add_argument("--max-s", type=above(), default=300, help="give up on a clip after so long (default: 300)")
    parser.add_argument("--json", action="store_true", help="print where it listens as JSON")


def run(args: argparse.Namespace) -> int:
    from signloom.errors import MissingExtraError

    try:
        from signloom.apps.serve.limits import ServeLimits
        from signloom.apps.serve.models import cache_folder, open_models
        from signloom.apps.serve.run import bound, names_of, serve
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("starlette", "uvicorn", "websockets", "h11", "anyio"):
            raise
        raise MissingExtraError(f"serve needs {error.name}. Run: pip install 'signloom[serve]'") from error
    limits = ServeLimits(
        upload_bytes=int(args.max_mb * 2**20), frames=args.max_frames, answer_s=args.max_s, workers=args.workers
    )
    listening = bound(args.host, args.port)
    try:
        port = listening.getsockname()[1]
        url = f"http://{f'[{args.host}]' if ':' in args.host else args.host}:{port}/"
        models = open_models(
            args.model, args.cache or cache_folder(), web=not args.no_web, tell=lambda text: say(text, file=sys.stderr)
        )
        names = names_of(args.host, port)
        if args.host in ("0.0.0.0", "::"):
            say(
                f"note: only as {url} does it answer; for other machines give --host this one's address",
                file=sys.stderr,
            )
        elif args.host not in ("127.0.0.1", "::1", "localhost"):
            say(f"note: {url} can be reached from other machines; anybody there can use it", file=sys.stderr)

        def ready() -> None:
            if args.json:
                say(json_line({"url": url, "models": list(models)}), flush=True)
            else:
                say(f"{url}  ({', '.join(models)}); Ctrl-C ends it", flush=True)
            if args.open:
                import webbrowser

                webbrowser.open(url)

        serve(models, listening, limits, names=names, ready=ready)
    finally:
        listening.close()
    return 0
