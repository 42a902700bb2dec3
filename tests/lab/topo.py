"""Ready-made networks, each a context manager that takes everything down again.

Names say what a machine is, .ip is its address on its own network. Firewalls do not forward: what
gets through was carried by the proxy. With forward=True they route instead, which is how the lab
tests itself.
"""

from contextlib import ExitStack

from .netns import Namespace, link


class Topology:
    """What they share: namespaces that are made in order and closed in reverse."""

    def __init__(self):
        self._stack = ExitStack()

    def add(self, label):
        """A new namespace that closes with this network."""
        ns = Namespace(label)
        self._stack.callback(ns.close)
        return ns

    def wire(self, one, device, address, other, other_device, other_address):
        """Connect two namespaces by a veth pair with these addresses; None: what has the device has one, a guest."""
        link(one, device, other, other_device)
        _bring_up(one, device, address)
        _bring_up(other, other_device, other_address)
        one.wait_link(device)
        other.wait_link(other_device)

    def network(self, label, hosts, gateway, device, subnet):
        """hosts (.10, .11, ...) and the gateway's device (.1) on one network "10.1.0"; the hosts'
        default route is the gateway. More than one host share a switch."""
        ends = [(gateway, device, f"{subnet}.1/24")]
        ends += [(host, "eth0", f"{subnet}.{10 + i}/24") for i, host in enumerate(hosts)]
        if len(hosts) == 1:
            self.wire(*ends[1], *ends[0])
        else:
            self.switch(label, ends)
        for host in hosts:
            host.route("default", f"{subnet}.1")

    def switch(self, label, ends):
        """Connect these by a bridge, each (namespace, device, address) as wire() has them."""
        switch = self.add(f"{label}-switch")
        switch.run(["ip", "link", "add", "br0", "type", "bridge"])
        switch.run(["ip", "link", "set", "br0", "up"])
        for i, (ns, device, address) in enumerate(ends):
            link(ns, device, switch, f"port{i}")
            switch.run(["ip", "link", "set", f"port{i}", "master", "br0", "up"])
            _bring_up(ns, device, address)
        for i, (ns, device, _) in enumerate(ends):
            ns.wait_link(device)
            switch.wait_link(f"port{i}")

    def close(self):
        self._stack.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def _bring_up(ns, device, address):
    if address:
        ns.address(device, address)
    else:
        ns.run(["ip", "link", "set", device, "up"])


class DualHomed(Topology):
    """One firewall with two networks.

          10.1.0.0/24                               10.2.0.0/24
        client .10 ----+                         +---- server .10
                       +-- .1 [ firewall ] .1 --+
        (.11, .12 ...) +  "inside"    "outside"  +  (.11, .12 ...)

    client, server      the first ones; clients, servers: all of them, device eth0
    firewall            inside = "10.1.0.1", outside = "10.2.0.1", devices of the same names
    """

    inside = "10.1.0.1"
    outside = "10.2.0.1"

    def __init__(self, clients=1, servers=1, forward=False):
        super().__init__()
        try:
            self.clients = [self.add("client" if i == 0 else f"client{i + 1}") for i in range(clients)]
            self.firewall = self.add("firewall")
            self.servers = [self.add("server" if i == 0 else f"server{i + 1}") for i in range(servers)]
            self.network("lan", self.clients, self.firewall, "inside", "10.1.0")
            self.network("dmz", self.servers, self.firewall, "outside", "10.2.0")
            if forward:
                self.firewall.sysctl("net.ipv4.ip_forward", 1)
        except BaseException:
            self.close()
            raise
        self.client, self.server = self.clients[0], self.servers[0]


class TwoFirewalls(Topology):
    """A firewall at each end, and a network between them.

          10.1.0.0/24              10.3.0.0/24              10.2.0.0/24
        client .10 ---- .1 [ fw1 ] .1 ---- .2 [ fw2 ] .1 ---- server .10
                   "inside"   "outside" "outside"   "inside"

    fw1_inside, fw1_outside, fw2_outside, fw2_inside are the addresses as text.
    """

    fw1_inside = "10.1.0.1"
    fw1_outside = "10.3.0.1"
    fw2_outside = "10.3.0.2"
    fw2_inside = "10.2.0.1"

    def __init__(self, forward=False):
        super().__init__()
        try:
            self.client, self.fw1, self.fw2, self.server = map(self.add, ("client", "fw1", "fw2", "server"))
            self.network("left", [self.client], self.fw1, "inside", "10.1.0")
            self.network("right", [self.server], self.fw2, "inside", "10.2.0")
            self.wire(self.fw1, "outside", "10.3.0.1/24", self.fw2, "outside", "10.3.0.2/24")
            self.fw1.route("10.2.0.0/24", self.fw2_outside)
            self.fw2.route("10.1.0.0/24", self.fw1_outside)
            if forward:
                self.fw1.sysctl("net.ipv4.ip_forward", 1)
                self.fw2.sysctl("net.ipv4.ip_forward", 1)
        except BaseException:
            self.close()
            raise
