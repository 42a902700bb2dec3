#!/usr/bin/python3
"""What bash and zsh complete behind "pptpproxy", asked of the shells themselves."""

import os
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from lab import tap
from lab.errors import Skip
from lab.netns import RUN_PREFIX
from lab.proxy import ROOT, program

FOLDER = ROOT / "packaging/completion"

# As readline would: the words so far, the last one is being completed.
BASH = """\
. /usr/share/bash-completion/bash_completion
. {script}
COMP_WORDS=({words}) COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)) COMP_LINE="${{COMP_WORDS[*]}}"
COMP_LINE=${{COMP_LINE// = /=}} COMP_POINT=${{#COMP_LINE}}
compopt() {{ :; }}
function=$(complete -p pptpproxy | sed 's/.*-F //; s/ .*//')
$function pptpproxy "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def options():
    """The long ones of --help, in its order."""
    done = subprocess.run([program(), "--help"], capture_output=True, text=True, check=True)
    return re.findall(r"^  (?:-\w,|   ) (--[\w-]+)", done.stdout, re.M)


def letters():
    done = subprocess.run([program(), "--help"], capture_output=True, text=True, check=True)
    return re.findall(r"^  (-\w), ", done.stdout, re.M)


@contextmanager
def place():
    """A directory with some files, and the program in the PATH."""
    with tempfile.TemporaryDirectory(prefix=RUN_PREFIX) as name:
        directory = Path(name)
        (directory / "bin").mkdir()
        (directory / "bin/pptpproxy").symlink_to(program())
        (directory / "office.conf").touch()
        (directory / "office.d").mkdir()
        yield directory, {**os.environ, "PATH": f"{directory}/bin:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}


def need(path, name):
    if not os.path.exists(path):
        raise Skip(f"{name} is not installed")


def bash(*words):
    need("/usr/share/bash-completion/bash_completion", "bash-completion")
    quoted = " ".join("'" + word + "'" for word in ("pptpproxy", *words))
    with place() as (directory, environment):
        done = subprocess.run(["bash", "--norc", "-c", BASH.format(script=FOLDER / "pptpproxy.bash", words=quoted)],
                              cwd=directory, env=environment, capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and done.stderr == "", done.stderr
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]


def zsh(*words):
    """What zsh lists for the last word: its completion system is asked in a terminal, as it works nowhere else."""
    need(shutil.which("zsh") or "", "zsh")
    line = " ".join(("pptpproxy", *words))
    with place() as (directory, environment):
        setup = directory / "setup"
        setup.write_text(f"""\
fpath=({FOLDER} $fpath)
autoload -Uz compinit && compinit -u -D
PS1= PS2= RPS1=
unsetopt zle_bracketed_paste prompt_cr prompt_sp 2>/dev/null
LISTMAX=10000
zstyle ':completion:*' list-grouped false
zstyle ':completion:*' insert-tab false
zstyle ':completion:*' menu no
# Each match that any of the functions adds is noted in a file, whatever is shown.
compadd () {{
	local -a found
	if [[ ${{@[(I)-[ODA]]}} -gt 0 ]]; then builtin compadd "$@"; return; fi
	builtin compadd -O found "$@"
	(( $#found )) && print -rl -- $found >>{directory}/matches
	builtin compadd "$@"
}}
show() {{ zle complete-word; : >{directory}/done; zle send-break }}
zle -N show
bindkey '^T' show
print READY-NOW
""")
        main, other = pty.openpty()
        process = subprocess.Popen(["zsh", "-f", "-i"], stdin=other, stdout=other, stderr=other, cwd=directory,
                                   env={**environment, "TERM": "dumb"}, start_new_session=True)
        os.close(other)
        said = b""

        def until(condition, seconds=30):
            nonlocal said
            deadline = time.monotonic() + seconds
            while not condition():
                assert time.monotonic() < deadline, said.decode(errors="replace")
                if select.select([main], [], [], 0.02)[0]:
                    said += os.read(main, 65536)

        try:
            os.write(main, f". {setup}\n".encode())
            until(lambda: b"\nREADY-NOW" in said.replace(b"\r", b""))
            os.write(main, f"{line}\x14".encode())
            until((directory / "done").exists)
        finally:
            process.kill()
            process.wait()
            os.close(main)
        matches = directory / "matches"
        return matches.read_text().splitlines() if matches.exists() else []


def test_bash_options():
    "bash completes each long option of --help, and no other"
    assert sorted(bash("-")) == sorted(options())
    assert sorted(bash("--max-c")) == ["--max-calls", "--max-connections"]
    assert len(options()) > 20
    assert bash("--check", "--acl-") == ["--acl-mode", "--acl-timeout", "--acl-parallel"]


def test_bash_values():
    "bash completes files, words, users, interfaces and commands behind the options that take them"
    for option in ("-c", "--config", "-l", "--log", "--pid-file"):
        assert bash(option, "office.c") == ["office.conf"], option
    assert bash("--config", "=", "office.c") == ["office.conf"]
    assert bash("--acl-mode", "") == ["all", "any"]
    assert bash("--acl-mode", "=", "an") == ["any"]
    assert bash("--fastpath", "") == ["off", "auto", "native", "generic"]
    assert bash("--show", "") == ["calls", "pairs", "totals"]
    # CALL and CLIENT are no words of it.
    assert bash("--tap", "") == ["all"]
    assert "lo" in bash("--fastpath-interface", "")
    assert bash("--user", "nobo") == ["nobody"]
    assert "pptpproxy" in bash("-x", "pptppro")
    for option in ("--keepalive", "-p", "--acl", "--ready-fd"):
        assert bash(option, "") == [], option


def test_zsh_options():
    "zsh completes each option of --help, long and short, and no other"
    found = {word.split("=")[0] for word in zsh("--")}
    assert found == set(options()), found ^ set(options())
    short = {word for word in zsh("-") if not word.startswith("--")}
    assert short == set(letters()), short ^ set(letters())
    assert {word.split("=")[0] for word in zsh("--check", "--acl-")} == {"--acl-mode", "--acl-timeout", "--acl-parallel"}


def test_zsh_values():
    "zsh completes files, words, users, interfaces and commands behind the options that take them"
    for option in ("-c", "--config", "-l", "--log", "--pid-file"):
        assert zsh(option, "office.c") == ["office.conf"], option
    assert zsh("--acl-mode", "") == ["all", "any"]
    assert zsh("--acl-mode=an") == ["any"]
    assert zsh("--fastpath", "") == ["off", "auto", "native", "generic"]
    assert zsh("--show", "") == ["calls", "pairs", "totals"]
    assert zsh("--tap", "") == ["all"]
    assert "lo" in zsh("--fastpath-interface", "")
    assert "nobody" in zsh("--user", "nobo")
    assert "pptpproxy" in zsh("-x", "pptppro")
    for option in ("--keepalive", "--acl", "--ready-fd"):
        assert not zsh(option, ""), option


if __name__ == "__main__":
    tap.main()
