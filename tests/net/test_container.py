#!/usr/bin/python3
"""packaging/container without an engine: the Containerfile's lists, its commands, and the user and rights it gives."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab import tap, watch
from lab.examples import Lab
from lab.netns import need
from lab.proc import Proc, wait_until
from lab.proxy import CALL_ENDED, READY, ROOT

PLACE = ROOT / "packaging/container"
KNOWN = {"FROM", "RUN", "WORKDIR", "COPY", "USER", "ENTRYPOINT", "CMD"}
CONF = "proxy vpn.example.com\nacl 192.0.2.0/24\n"


def stages():
    """The instructions of each stage, without FROM: (word, rest)."""
    text = re.sub(r"^#.*\n", "", (PLACE / "Containerfile").read_text(), flags=re.M).replace("\\\n", " ")
    found = []
    for line in filter(None, map(str.strip, text.splitlines())):
        word, rest = line.split(None, 1)
        assert word in KNOWN, line
        if word == "FROM":
            found.append([])
        else:
            found[-1].append((word, rest))
    return found


def packages(stage):
    """What is installed in a stage."""
    [words] = [rest.split("install -y --no-install-recommends", 1)[1].split("&&")[0]
               for word, rest in stage if word == "RUN" and "apt-get install" in rest]
    return set(words.split())


def one(stage, word):
    [rest] = [rest for name, rest in stage if name == word]
    return rest


def shell(*words, **options):
    done = subprocess.run(words, capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


def test_packages():
    "the packages are those of tools/deps build, and those that README.md names to run with"
    build, final = stages()
    [listed] = re.findall(r'^build="(.*)"$', (ROOT / "tools/deps").read_text(), re.M)
    assert packages(build) == set(listed.split())
    [listed] = re.findall(r"To run: `([^`]*)`", (ROOT / "README.md").read_text())
    assert packages(final) == set(listed.split()) | {"libcap2-bin"}  # which has setcap
    for name in packages(build) | packages(final):
        assert "Package:" in shell("apt-cache", "show", "--no-all-versions", name), name


def test_words():
    "the image's program is where make install puts it; the words behind it are the program's"
    build, final = stages()
    program, *words = json.loads(one(final, "ENTRYPOINT"))
    assert program == "/usr/sbin/pptpproxy" and words == ["-n"]
    assert json.loads(one(final, "CMD"))[0] == "-c"
    user = one(final, "USER")
    assert any(word == "RUN" and re.search(rf"useradd .* {user}$", rest) for word, rest in final)
    assert f"setcap cap_net_raw+ep {program}" in [rest for word, rest in final if word == "RUN"]
    [copied] = [rest for word, rest in final if word == "COPY"]
    [source, _] = copied.removeprefix("--from=build ").split()
    assert any(word == "RUN" and f"DESTDIR={source.rstrip('/')} " in rest for word, rest in build)


class Image:
    """What the build stage leaves, in a directory: its commands were run on a copy of the tree."""

    def __init__(self, directory):
        build, self.final = stages()
        source, out = directory / "src", directory / "out"
        source.mkdir()
        ignored = [f"--exclude=./{name}" for name in (PLACE / "Containerfile.dockerignore").read_text().split()]
        assert [rest for word, rest in build if word == "COPY"] == [". ."]
        archive = subprocess.run(["tar", "-C", ROOT, *ignored, "-cf", "-", "."], capture_output=True, check=True).stdout
        subprocess.run(["tar", "-C", source, "-xf", "-"], input=archive, check=True)
        commands = [rest for word, rest in build if word == "RUN" and "apt-get" not in rest]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
        for command in commands:
            shell("sh", "-ec", command.replace("/out", str(out)), cwd=source, env=environment)
        self.program = Path(f"{out}{json.loads(one(self.final, 'ENTRYPOINT'))[0]}")
        [setcap] = [rest for word, rest in self.final if word == "RUN" and rest.startswith("setcap ")]
        shell(*shlex.split(setcap)[:2], self.program)
        directory.chmod(0o755)

    def words(self, *rights):
        """The command line as that of a user of the image, in whose bounding set there are these."""
        bounding = ",".join(["-all", *(f"+{name}" for name in rights)])
        uid = re.search(r"--uid (\d+)", " ".join(rest for _, rest in self.final))[1]
        return ["setpriv", "--reuid", uid, "--regid", uid, "--clear-groups", "--inh-caps", "-all", "--bounding-set", bounding,
                self.program, *json.loads(one(self.final, "ENTRYPOINT"))[1:], *json.loads(one(self.final, "CMD"))]


@tap.deadline(300)
def test_carries_calls_with_net_raw_alone():
    "what the image's commands build needs the image's packages only, and carries a call as its user with NET_RAW alone"
    need("setpriv", "setcap", "dpkg-query", "readelf")
    with Lab() as lab:
        room = lab.machine()
        image = Image(room.directory)
        (room.etc / "pptpproxy.conf").write_text(CONF)
        libraries = re.findall(r"=> (/\S+)", shell("ldd", image.program))
        needed = re.findall(r"NEEDED.*\[(.*)\]", shell("readelf", "-d", image.program))
        files = {os.path.realpath(path) for path in libraries if os.path.basename(path) in needed}
        owners = {shell("dpkg-query", "-S", f"*{path.removeprefix('/usr')}").split(":")[0] for path in files}
        assert owners - {"libc6"} == packages(image.final) - {"libcap2-bin"}, owners
        lab.pptpd(lab.net.vpn, 10)
        with Proc(image.words("net_raw"), ns=lab.net.home, room=room, name="contained") as contained:
            contained.log.wait(READY, 30)
            call = lab.call(lab.net.workstation, "192.0.2.1", 10)
            keeper = int(contained.log.wait(rf"{READY}.*pid (\d+),")[1])
            for pid in (keeper, watch.worker(keeper)):
                uid = re.search(r"^Uid:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.M)[1]
                assert uid == image.words()[2], uid
            old = watch.worker(keeper)
            os.kill(old, 9)
            wait_until(lambda: watch.worker(keeper) not in (None, old), what="another worker")
            call.ping(2)
            call.hang_up()
            contained.log.wait(CALL_ENDED)
            assert contained.stop() == 0
        refused = Proc(image.words(), ns=lab.net.home, room=room, name="without NET_RAW")
        assert refused.wait() != 0 and "peration not permitted" in refused.text(), refused.text()


if __name__ == "__main__":
    tap.main()
