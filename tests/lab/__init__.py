"""The network lab: namespaces, processes, the proxy under test, real PPTP peers.

netns.py  network namespaces, links between them, private mount namespaces ("rooms")
proc.py   started processes and what they say, line by line; waiting for conditions
tap.py    runs the test_* functions of a file and prints TAP
topo.py   ready-made networks: the dual-homed firewall, a chain of two firewalls
proxy.py  the program under test
place.py  a directory for a test's files
real.py   Debian's pptp and pptpd with a PPP end of the tests' own (tests/ppp_end)
messages.py  all control messages and enhanced GRE packets, built and parsed
fake.py   a world of clients and servers that say exactly what a test wants, octet by octet
crowd.py  many such ends at once, which do what chance has them do;  soak.py  that for long, and whether all stays flat
turmoil.py  deaths, upgrades, reloads;  figures.py  what tests have counted
tcp.py    what the kernel tells about TCP sockets, and ways that are full because nobody reads
capture.py  what devices saw, as a file for --explain, tcpdump, tshark
sniff.py  packets as they were on the wire; watch.py  what the program uses: memory, descriptors, time
bystander.py  a call that goes on beside an attack, and how it fares; figures.py  what tests measure, for later sums
sanitizers.py  their reports, of every process
faults.py  calls of the program that fail on purpose
golden.py  the table of packets that both ways must satisfy
dns.py    a small name server, a private resolv.conf and hosts file; tools.py  runs tests/tools
doctor.py  what --doctor finds
examples.py  the networks of the manual page's examples;  demo.py  what tools/demo shows
supervisor.py  what a supervisor hears;  walls.py  a systemd unit's program behind the walls that the unit sets
installed.py  a copy of this machine to install packages in

A test file looks like this:

    #!/usr/bin/python3
    import sys
    from pathlib import Path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    from lab import tap
    from lab.proxy import Proxy
    from lab.topo import DualHomed

    def test_refuses_strangers():
        "a client outside every -a is refused"
        with DualHomed() as net, Proxy(net.firewall, ["-p", net.server.ip, "-a", "192.0.2.0/24"]) as proxy:
            ...
            proxy.log.wait(r"refused", 5)

    if __name__ == "__main__":
        tap.main()

Everything here needs root, because network namespaces do; without it the tests skip themselves.
"""
