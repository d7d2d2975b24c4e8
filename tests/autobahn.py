"""Autobahn's fuzzing client, an independent judge of WebSocket servers: installed once, and run against `/echo` of ours.

python tests/autobahn.py [--install] [raw_websocket websocket "rooms --engine=raw"]

The suite needs Python 2.7, which has to be on this machine (`python2.7` on PATH, or one of pyenv's). It is installed into
the user's cache folder, half a minute once. Its reports, one page for each case, go to out/autobahn/.
"""

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from itertools import product
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from labs.launch import Process  # noqa: E402

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "realtime-measured" / "autobahn-25.10.1"
OUT = ROOT / "out" / "autobahn"
CASES = (["1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"], ["9.*"])  # run side by side: one waits, one works
OPTIONS = ("--max-size", str(16 * 1024 * 1024), "--rate", "0")  # the largest messages of 9.* are so large, and many
GOOD = ("OK", "INFORMATIONAL")  # the second: the RFC leaves it open
SERVERS = ("raw_websocket", "websocket", "rooms --engine=raw")
LIMIT_S = 180  # of a run, on a machine that may be busy


def python27() -> str | None:
    """A Python 2.7 that runs."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for candidate in ("python2.7", "python2", *map(str, sorted(pyenv.glob("versions/2.7*/bin/python2.7")))):
        try:
            found = subprocess.run([candidate, "-c", "import sys; print(sys.version_info[:2])"], capture_output=True)
        except OSError:
            continue
        if found.stdout.strip() == b"(2, 7)":
            return candidate
    return None


def wstest() -> Path | None:
    """The suite's command, if it has been installed."""
    return command if (command := CACHE / "bin" / "wstest").exists() else None


def install() -> Path:
    """Install the suite where it is not. Raises `RuntimeError`, which says what is missing."""
    if command := wstest():
        return command
    if not (python := python27()):
        raise RuntimeError("Autobahn's suite needs Python 2.7, and there is none on this machine")
    # links to wheels are set, if at all, for the Python of the tests
    environ = {name: value for name, value in os.environ.items() if name not in ("PIP_FIND_LINKS", "PYTHONPATH")}
    pip = [sys.executable, "-m", "pip", "install", "-q", "--target"]
    with tempfile.TemporaryDirectory() as tools:
        try:
            run([*pip, tools, "virtualenv<20.22"], environ)  # the last ones that make environments for Python 2.7
            run([sys.executable, "-m", "virtualenv", "-q", "-p", python, str(CACHE)], environ | {"PYTHONPATH": tools})
            run([str(CACHE / "bin" / "pip"), "install", "-q", "autobahntestsuite==25.10.1"], environ)
        except (OSError, subprocess.SubprocessError) as error:
            shutil.rmtree(CACHE, ignore_errors=True)
            said = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
            raise RuntimeError(f"Autobahn's suite could not be installed: {said[-1] if said else error}") from None
    return wstest() or CACHE / "bin" / "wstest"


def run(command: list[str], environ: dict[str, str]) -> None:
    """Run one step of the installation."""
    subprocess.run(command, env=environ, check=True, capture_output=True, text=True, timeout=600)


async def judge(names: list[str]) -> dict[str, dict[str, dict]]:
    """Every case against each of these servers: what the suite says to it, by the server and the case's number."""
    parts = await asyncio.gather(*(judge_part(name, n) for name, n in product(names, range(len(CASES)))))
    return {name: {case: said for one, found in parts if one == name for case, said in found.items()} for name in names}


async def judge_part(name: str, part: int) -> tuple[str, dict[str, dict]]:
    """Some of the cases against a server of their own."""
    server = Process(*name.split(), *OPTIONS)
    url, out = (await server.start()).replace("http", "ws", 1), OUT / name.replace(" ", "") / str(part + 1)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    spec = {"outdir": str(out), "servers": [{"agent": name, "url": f"{url}/echo"}], "cases": CASES[part]}
    (out / "spec.json").write_text(json.dumps(spec | {"exclude-cases": [], "exclude-agent-cases": {}}))
    client = await asyncio.create_subprocess_exec(
        str(install()), "-m", "fuzzingclient", "-s", str(out / "spec.json"), stdout=subprocess.DEVNULL, cwd=out
    )
    try:
        async with asyncio.timeout(LIMIT_S):
            await client.wait()
    finally:
        if client.returncode is None:
            client.kill()
        await server.stop()
    complaints = [line for line in server.log if not line.startswith(("INFO", "WARNING"))]
    assert not complaints, complaints
    return name, json.loads((out / "index.json").read_text())[name]


def verdict(said: dict) -> str:
    """How a case went: the answer and the close, where they differ."""
    return (
        said["behavior"]
        if said["behaviorClose"] in (*GOOD, said["behavior"])
        else f"{said['behavior']}, close {said['behaviorClose']}"
    )


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("servers", nargs="*", default=SERVERS, help="which, with their options (default: all)")
    parser.add_argument("--install", action="store_true", help="only install the suite")
    options = parser.parse_args()
    try:
        install()
    except RuntimeError as error:
        sys.exit(str(error))
    if options.install:
        return
    for name, found in asyncio.run(judge(options.servers)).items():
        counts = Counter(said["behavior"] for said in found.values())
        print(f"{name}: {len(found)} cases, " + ", ".join(f"{count} {word}" for word, count in counts.most_common()))
        for case, said in found.items():
            if verdict(said) not in GOOD:
                print(f"  {case:7} {verdict(said)}")
    print("the reports: out/autobahn/*/*/index.html")


if __name__ == "__main__":
    main()
