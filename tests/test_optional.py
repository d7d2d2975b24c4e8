"""Notebook 07's optional packages: found, installed, or done without in a sentence."""

import sys
import time

from labs.choosing import optional


async def test_all_packages_there_installs_nothing(capfd):
    assert await optional.ready(command=("no such command",)) == (
        "Socket.IO, WebRTC, QUIC and HTTP/2 can be measured here."
    )
    assert capfd.readouterr().out == ""


async def test_missing_package_is_installed_from_the_lock(monkeypatch, capfd, tmp_path):
    monkeypatch.setattr(optional, "PACKAGES", {"came_from_the_lock": "It"})
    monkeypatch.syspath_prepend(tmp_path)
    program = f"import sys; open({str(tmp_path / 'came_from_the_lock.py')!r}, 'w'); print(open(sys.argv[1]).read(7))"
    assert await optional.ready(command=(sys.executable, "-c", program)) == "It can be measured here."
    assert "Installing the packages for It from requirements-choosing.txt" in capfd.readouterr().out


async def test_package_that_cannot_be_installed_is_said_in_a_sentence(monkeypatch, capfd):
    monkeypatch.setattr(
        optional, "PACKAGES", {"no_such_package": "It", "nor_this_one": "That", "socketio": "Socket.IO"}
    )
    said = await optional.ready(command=(sys.executable, "-c", "import sys; sys.exit(1)"))
    assert said.startswith("It and That cannot be measured here")


async def test_installation_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr(optional, "PACKAGES", {"no_such_package": "It"})
    began = time.monotonic()
    said = await optional.ready(command=(sys.executable, "-c", "import time; time.sleep(60)"), patience_s=0.2)
    assert said.startswith("It cannot be measured here")
    assert time.monotonic() - began < 30


async def test_nothing_is_installed_when_that_is_not_wanted(monkeypatch, capfd):
    monkeypatch.setattr(optional, "PACKAGES", {"no_such_package": "It"})
    assert (await optional.ready(install=False, command=("no such command",))).startswith("It cannot be measured")
    assert capfd.readouterr().out == ""
