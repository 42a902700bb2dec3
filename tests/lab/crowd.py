"""Many PPTP ends at once that come, call, hang up and go as chance has it, and notice whatever is wrong.

    crowd = Crowd(world, seed, sessions=40)
    crowd.run(0.05)                # it storms so long
    crowd.settle()                 # nobody begins anything; everything that was under way is over
    crowd.check_calls()            # a packet each way of every call that both its ends think is open

One thread, no waiting: every stream is a state machine, every message is looked at as it comes. Echoes, messages of no known
type, and those about a connection's first call, which lasts, are numbered: each must come once, in order. No ID that is
shown to an end may be that of another call that lives there. A connection that has had a call may not end by itself; one
that has not may, where mortal says so (its worker may have died).

Which call a packet is of stands in its payload, so one that comes to a wrong one is noticed.
"""

import random
import select
import socket
import struct
import time
from collections import deque

from . import messages, tap
from .messages import (CCRQ, CDN, ECHO_RP, ECHO_RQ, ICCN, ICRP, ICRQ, OCRP, OCRQ, PORT, SCCRP, SCCRQ, SLI, STOP_RP, STOP_RQ,
                       WEN, Message, Packet, build)

PATIENCE = 20.0 * tap.slowdown()
CLIENT, SERVER = 0, 1
SIDES = "client", "server"
QUARANTINE = 25.0  # s; a little less than what IDs rest
REFUSED = 2
UNKNOWN = 77  # a message type that nobody knows
UNDER_WAY = 100  # numbered messages of one end that have not come: sockets hold more than a busy machine passes on in time
NOTE = struct.Struct("!II")  # what a packet carries: the call's number, the packet's
NUMBERED = ECHO_RQ, ECHO_RP, SLI, WEN, UNKNOWN


class Wrong(AssertionError):
    """What must not be."""


class End:
    """One side's stream of one session."""

    def __init__(self, session, side, sock):
        self.session, self.side, self.sock = session, side, sock
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.proxy = sock.getpeername()[0]
        self.own = sock.getsockname()[0]
        self.inbox, self.outbox = bytearray(), bytearray()
        self.held = bytearray()  # the rest of a message that is sent later
        self.numbered = deque()  # said, and not come to the other side yet: type, number
        self.number = 0
        self.asked = deque()  # calls whose request has not come to the other side
        self.ended = False  # the peer's end of file has come
        self.shut = False  # ours has been sent

    @property
    def name(self):
        return f"{self.session.name} {SIDES[self.side]}"

    def send(self, octets):
        self.outbox += octets
        if not self.held:
            self.flush()

    def send_in_two(self, octets, at):
        """The first octets now, the rest with release(); what is sent meanwhile waits behind it."""
        self.outbox += octets[:at]
        self.flush()
        if self.outbox:  # a full socket
            self.outbox += octets[at:]
        else:
            self.held += octets[at:]

    def release(self):
        if self.held:
            self.outbox[:0] = self.held
            self.held.clear()
            self.flush()

    def flush(self):
        try:
            while self.outbox:
                del self.outbox[:self.sock.send(self.outbox)]
        except BlockingIOError:
            pass
        except ConnectionError:
            self.outbox.clear()

    def take(self):
        """The whole messages that have come."""
        try:
            data = self.sock.recv(1 << 16)
            self.inbox += data
            self.ended = not data
        except BlockingIOError:
            pass
        except ConnectionError:
            self.ended = True
        while len(self.inbox) >= messages.HEADER.size:
            length = struct.unpack_from("!H", self.inbox)[0]
            if not messages.HEADER.size <= length <= 1024:
                raise Wrong(f"{self.name}: a message of {length} octets came")
            if len(self.inbox) < length:
                break
            octets = bytes(self.inbox[:length])
            del self.inbox[:length]
            yield Message(octets)

    def shut_down(self):
        self.release()
        self.shut = True
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass


class Call:
    """One call. own: the IDs that its ends chose; shown: what each end was told for the other's."""

    def __init__(self, number, session, caller, kind):
        self.number, self.session, self.caller, self.kind = number, session, caller, kind
        self.own, self.shown = [None, None], [None, None]
        self.state = "asked"  # heard, open, ending, gone
        self.lasting = False
        self.packets = 0

    @property
    def pns(self):
        return self.caller if self.kind == OCRQ else 1 - self.caller

    @property
    def name(self):
        return f"{self.session.name} call {self.number} ({self.state}, IDs {self.own}, shown {self.shown})"


class Session:
    """One control connection."""

    def __init__(self, number, client, server):
        self.number, self.client, self.server = number, client, server
        self.ends = [None, None]
        self.state = "begun"  # up, ending, gone
        self.calls = []
        self.had_call = False  # some end has heard of one: it may not end by itself any more
        self.lasting = None

    @property
    def name(self):
        return f"session {self.number}"


class Crowd:
    """sessions, calls     how many connections there are to be, and calls of each at most
    most_asked          calls that may be under way
    packets, leaving    how much of what chance wants to do of these is done
    clients             how many of the world's clients take part; all servers do
    """

    def __init__(self, world, seed, sessions=40, calls=4, most_asked=30, mortal=True, packets=1.0, leaving=0.3, clients=None):
        self.world, self.random = world, random.Random(seed)
        self.clients = world.clients[:clients]
        self.most_sessions, self.most_calls, self.most_asked, self.mortal = sessions, calls, most_asked, mortal
        self.leaving, self.packets = leaving, packets
        self.sessions, self.by_number, self.calls, self.by_fd = [], {}, {}, {}
        self.numbers = 0
        self.live = {}  # (host's address, proxy's address, ID shown) -> call that has it there
        self.rests = {}  # the same -> until when it should not be given again
        self.wanted = {}  # (call's number, packet's number, to which side): not come yet
        self.under_way = 0  # calls asked for and not answered
        self.new = {}  # server's sockets whose first message has not come: fd -> End without session
        self.rests_of = []  # ends that hold the rest of a message back
        self.sent = self.arrived = self.said = self.opened = self.refused = self.lost_connections = 0
        self.epoll = select.epoll()
        for host in self.clients + world.servers:
            host.gre.sock.setblocking(False)
            self._watch(host.gre.sock, lambda host=host: self._packets(host))
        for number, server in enumerate(world.servers):
            server.sock.setblocking(False)
            self._watch(server.sock, lambda number=number: self._accept(number))

    # ---- the loop ----

    def _watch(self, sock, callback):
        self.by_fd[sock.fileno()] = callback
        self.epoll.register(sock.fileno(), select.EPOLLIN)

    def _unwatch(self, sock):
        if sock.fileno() in self.by_fd:
            del self.by_fd[sock.fileno()]
            self.epoll.unregister(sock.fileno())

    def poll(self, timeout=0.0):
        for fd, _ in self.epoll.poll(timeout):
            callback = self.by_fd.get(fd)
            if callback:
                callback()

    def run(self, seconds):
        """Storm."""
        until = time.monotonic() + seconds
        while True:
            self.poll()
            for _ in range(4):
                self._begin_something()
            if time.monotonic() >= until:
                return

    def pace(self, seconds, rate):
        """A steadier storm: so many things a second are begun."""
        began, done = time.monotonic(), 0
        while time.monotonic() < began + seconds:
            self.poll(0.01)
            while done < (time.monotonic() - began) * rate:
                self._begin_something()
                done += 1

    def hang_up_all(self):
        """Every session ends, from either side."""
        self._release_all()
        for session in list(self.sessions):
            if session.state == "up":
                self.hang_up(session, self.random.choice((CLIENT, SERVER)))
        self.wait(lambda: not self.sessions, "all to be gone")

    def wait(self, condition, what, timeout=PATIENCE):
        """Only answer until that is so."""
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise Wrong(f"{what}: not within {timeout:g} s: {self.describe()}")
            self.poll(0.01)
            self._release_all()

    def _release_all(self):
        """What was held back, and what did not fit into a socket, goes out."""
        for session in self.sessions:
            for end in session.ends:
                if end and end.outbox and not end.held:
                    end.flush()
        for end in self.rests_of:
            end.release()
        self.rests_of.clear()

    def settle(self):
        self.wait(self._settled, "everything that was under way to be over")

    def _settled(self):
        return all(self._quiet(session) for session in self.sessions) and not self.new

    @staticmethod
    def _quiet(session):
        if session.state != "up":
            return False
        one, other = session.ends
        return not one.numbered and not other.numbered and all(call.state == "open" for call in session.calls)

    def describe(self):
        told = []
        for session in [session for session in self.sessions if not self._quiet(session)][:3]:
            told.append(f"{session.name} is {session.state}")
            for end in session.ends:
                if end:
                    told.append(f"{end.name}: not come to the other end: {list(end.numbered)[:5]}; ended {end.ended}")
            told += [call.name for call in session.calls if call.state != "open"]
        return "; ".join(told) or f"{len(self.new)} new connections, {len(self.wanted)} packets"

    def open_calls(self):
        return [call for session in self.sessions for call in session.calls if call.state == "open"]

    # ---- what chance begins ----

    def _begin_something(self):
        if len(self.sessions) < self.most_sessions:
            self.dial()
            return
        session = self.random.choice(self.sessions)
        if session.state != "up":
            return
        what = self.random.random()
        if what < 0.25:
            self._begin_call(session)
        elif what < 0.45:
            self._end_call(session)
        elif what < 0.75:
            self._talk(session)
        elif what < 0.985:
            self._send_packet(session)
        elif self.random.random() < self.leaving and session.had_call and self._most_are_up():
            self.hang_up(session, self.random.choice((CLIENT, SERVER)))

    def _most_are_up(self):
        return sum(session.state == "up" for session in self.sessions) > 0.8 * self.most_sessions

    def dial(self):
        self.numbers += 1
        clients, servers = len(self.clients), len(self.world.servers)
        session = Session(self.numbers, self.numbers % clients, self.numbers // clients % servers)
        host = self.clients[session.client]
        with host.ns:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        sock.settimeout(PATIENCE)
        sock.connect((self.world.net.inside, PORT + session.server))
        session.ends[CLIENT] = End(session, CLIENT, sock)
        self.sessions.append(session)
        self.by_number[session.number] = session
        self._watch(sock, lambda end=session.ends[CLIENT]: self._stream(end))
        self._say(session.ends[CLIENT], build(SCCRQ, host=b"%d" % session.number))
        return session

    def hang_up(self, session, side):
        session.state = "ending"
        for call in session.calls:
            self._end(call)
        end = session.ends[side]
        if self.random.random() < 0.5:
            self._say(end, build(STOP_RQ))
        end.shut_down()

    def _say(self, end, octets):
        self.said += 1
        if self.random.random() < 0.1 and not end.held:
            end.send_in_two(octets, self.random.randrange(1, len(octets)))
            self.rests_of.append(end)
        else:
            end.send(octets)
        if len(self.rests_of) > 5:
            self.rests_of.pop(0).release()

    def _talk(self, session):
        end = session.ends[self.random.randrange(2)]
        kind = self.random.choice((ECHO_RQ, ECHO_RQ, ECHO_RP, UNKNOWN, SLI, WEN))
        call = session.lasting
        if kind in (SLI, WEN):
            if not call or call.state != "open":
                return
            end = session.ends[call.pns if kind == SLI else 1 - call.pns]
        if end.outbox and not end.held:
            end.flush()
        if len(end.numbered) >= UNDER_WAY:
            return
        end.number += 1
        end.numbered.append((kind, end.number))
        tail = bytes(self.random.randrange(100))
        if kind == SLI:
            octets = build(SLI, peer_id=call.shown[end.side], send_accm=end.number)
        elif kind == WEN:
            octets = build(WEN, peer_id=call.shown[end.side], crc=end.number)
        elif kind == UNKNOWN:
            octets = build(UNKNOWN, tail=struct.pack("!I", end.number) + tail)
        else:
            octets = build(kind, identifier=end.number, tail=tail)
        self._say(end, octets)

    def _numbered(self, end, message):
        """One of those has come."""
        number = (message.send_accm if message.type == SLI else message.crc if message.type == WEN else
                  struct.unpack_from("!I", message.octets, messages.HEADER.size)[0] if message.type == UNKNOWN else
                  message.identifier)
        other = end.session.ends[1 - end.side]
        if other is None:  # it has gone; what it said is nobody's concern any more
            return
        expected = other.numbered.popleft() if other.numbered else None
        if (message.type, number) != expected:
            raise Wrong(f"{end.name}: {message}, number {number}, instead of {expected}")
        call = end.session.lasting
        if message.type in (SLI, WEN) and call and message.peer_id != call.own[end.side]:
            raise Wrong(f"{end.name}: {message} of {message.peer_id} instead of {call.own[end.side]}")

    def _free_id(self, side, session):
        """A server's are unique at its address, as a real one's are; clients' are those that many others have, too."""
        taken = {call.own[side] for call in self.calls.values() if call.session.ends[side] and
                 (call.session.server if side == SERVER else call.session) == (
                     session.server if side == SERVER else session)}
        while True:
            number = self.random.randrange(1, 65536 if side == SERVER else 200)
            if number not in taken:
                return number

    def _begin_call(self, session):
        if len(session.calls) >= self.most_calls or self.under_way >= self.most_asked:
            return
        self.numbers += 1
        caller, kind = self.random.choice(((CLIENT, OCRQ), (CLIENT, OCRQ), (SERVER, OCRQ), (SERVER, ICRQ)))
        call = Call(self.numbers, session, caller, kind)
        call.own[caller] = self._free_id(caller, session)
        call.lasting = session.lasting is None
        if call.lasting:
            session.lasting = call
        session.calls.append(call)
        self.calls[call.number] = call
        self.under_way += 1
        end = session.ends[caller]
        end.asked.append(call)
        self._say(end, build(kind, call_id=call.own[caller], serial=call.number & 0xFFFF))

    def _end_call(self, session):
        candidates = [call for call in session.calls if call.state == "open" and not call.lasting]
        if not candidates:
            return
        call = self.random.choice(candidates)
        call.state = "ending"
        side = self.random.randrange(2)
        if side == call.pns:
            self._say(session.ends[side], build(CCRQ, call_id=call.own[side]))
        else:
            self._rest(call, side)
            self._say(session.ends[side], build(CDN, call_id=call.own[side]))

    # ---- packets ----

    def _send_packet(self, session):
        candidates = [call for call in session.calls if call.state == "open"]
        if candidates and self.random.random() < self.packets:
            self.packet(self.random.choice(candidates), self.random.randrange(2))

    def packet(self, call, side, wanted=False):
        end = call.session.ends[side]
        host = self._host(call.session, side)
        call.packets += 1
        if wanted:
            self.wanted[call.number, call.packets, 1 - side] = time.monotonic()
        self.sent += 1
        try:
            host.gre.sock.sendto(messages.gre(call.shown[side], NOTE.pack(call.number, call.packets), call.packets),
                                 (end.proxy, 0))
        except BlockingIOError:
            pass

    def _host(self, session, side):
        return self.clients[session.client] if side == CLIENT else self.world.servers[session.server]

    def _packets(self, host):
        side = CLIENT if host in self.clients else SERVER
        for _ in range(256):
            try:
                packet = Packet(host.gre.sock.recv(65536))
            except BlockingIOError:
                return
            if len(packet.payload) != NOTE.size:
                continue
            number, count = NOTE.unpack(packet.payload)
            self.arrived += 1
            self.wanted.pop((number, count, side), None)
            call = self.calls.get(number)
            if call and call.state == "open" and packet.call_id != call.own[side]:
                raise Wrong(f"{call.name}: its packet came to {SIDES[side]} as of call ID {packet.call_id}")
            if call and self._host(call.session, side) is not host:
                raise Wrong(f"{call.name}: its packet came to {host.name}")

    def check_calls(self, timeout=PATIENCE):
        """Each call's packets pass both ways. Answers how many calls."""
        calls = self.open_calls()
        for start in range(0, len(calls), 50):  # a few at a time: sockets hold so many
            for call in calls[start:start + 50]:
                self.packet(call, CLIENT, wanted=True)
                self.packet(call, SERVER, wanted=True)
            try:
                self.wait(lambda: not self.wanted, "packets", timeout)
            except Wrong:
                missing = [(self.calls[number].name, SIDES[side]) for number, _, side in self.wanted if number in self.calls]
                raise Wrong(f"{len(missing)} of {2 * len(calls)} packets did not come, of {missing[:5]}") from None
        return len(calls)

    # ---- streams ----

    def _accept(self, number):
        server = self.world.servers[number]
        for _ in range(64):
            try:
                sock, _ = server.sock.accept()
            except BlockingIOError:
                return
            end = End(None, SERVER, sock)
            self.new[sock.fileno()] = end
            self._watch(sock, lambda end=end, number=number: self._first(end, number))

    def _first(self, end, server):
        """The first message tells whose connection it is."""
        for message in end.take():
            host = message.host if message.type == SCCRQ else b""
            session = self.by_number.get(int(host)) if host.isdigit() else None
            del self.new[end.sock.fileno()]
            self._unwatch(end.sock)
            if session is None:  # whoever dialled has given up, or is none of us
                end.sock.close()
                return
            if session.server != server or session.ends[SERVER]:
                raise Wrong(f"{session.name}: came to server {server}, not to {session.server}, or twice")
            end.session = session
            session.ends[SERVER] = end
            self._watch(end.sock, lambda end=end: self._stream(end))
            self._say(end, build(SCCRP))
            return
        if end.ended:
            del self.new[end.sock.fileno()]
            self._unwatch(end.sock)
            end.sock.close()

    def _stream(self, end):
        for message in end.take():
            self._message(end, message)
        if end.ended:
            self._on_end(end)

    def _on_end(self, end):
        session = end.session
        other = session.ends[1 - end.side]
        if session.state in ("begun", "up"):
            if session.had_call or not self.mortal:
                raise Wrong(f"{end.name}: the connection ended, with {len(session.calls)} calls")
            self.lost_connections += 1
            session.state = "ending"
            for call in session.calls:
                self._end(call)
        if not end.shut:
            end.shut_down()
        self._unwatch(end.sock)
        end.sock.close()
        session.ends[end.side] = None
        if other is None or session.ends[1 - end.side] is None:
            session.state = "gone"
            self.sessions.remove(session)
            del self.by_number[session.number]

    def _message(self, end, message):
        session, kind = end.session, message.type
        if kind in NUMBERED:
            self._numbered(end, message)
        elif session.state == "ending":
            self._message_at_the_end(end, message)
        elif kind == SCCRP and end.side == CLIENT and session.state == "begun":
            session.state = "up"
        elif kind in (OCRQ, ICRQ):
            self._request(end, message)
        elif kind in (OCRP, ICRP):
            self._reply(end, message)
        elif kind == CCRQ:
            self._clear(end, message)
        elif kind == CDN:
            self._disconnect(end, message)
        elif kind == ICCN and end.side == CLIENT:
            if message.peer_id not in [call.own[CLIENT] for call in session.calls]:
                raise Wrong(f"{end.name}: {message} of no call")
        else:
            raise Wrong(f"{end.name}: {message} in state {session.state}")

    def _message_at_the_end(self, end, message):
        """What had been under way, or what the proxy says for the end that has gone."""
        if message.type not in (OCRQ, ICRQ, OCRP, ICRP, CCRQ, CDN, ICCN, STOP_RQ, STOP_RP, SCCRP):
            raise Wrong(f"{end.name}: {message} at the end")
        if message.type == STOP_RQ and not end.shut:
            self._say(end, build(STOP_RP))

    # ---- calls ----

    def _show(self, end, call, shown):
        """An end is told an ID, which nobody else may have there."""
        place = (end.own, end.proxy, shown)
        before = self.live.get(place)
        if before is not None:
            raise Wrong(f"{end.name}: ID {shown} given to {call.name}, but it is {before.name}'s")
        if self.rests.get(place, 0) > time.monotonic():
            raise Wrong(f"{end.name}: ID {shown} given to {call.name}, though another call that had it has just ended")
        call.shown[end.side] = shown
        self.live[place] = call
        call.session.had_call = True

    def _rest(self, call, side):
        """This end has done with the ID that it was shown."""
        end = call.session.ends[side]
        if end is None or call.shown[side] is None:
            return
        place = (end.own, end.proxy, call.shown[side])
        if self.live.get(place) is call:
            del self.live[place]
            self.rests[place] = time.monotonic() + QUARANTINE

    def _end(self, call):
        if call.state in ("asked", "heard"):
            self.under_way -= 1
        call.state = "gone"
        for side in (CLIENT, SERVER):
            self._rest(call, side)
        if call.session.lasting is call:
            call.session.lasting = None
        self.calls.pop(call.number, None)

    def _remove(self, call):
        self._end(call)
        if call in call.session.calls:
            call.session.calls.remove(call)

    def _request(self, end, message):
        session = end.session
        asked = session.ends[1 - end.side].asked
        if not asked or asked[0].number & 0xFFFF != message.serial:
            raise Wrong(f"{end.name}: {message} of serial {message.serial}, "
                        f"expected that of {[call.number & 0xFFFF for call in asked][:3]}")
        call = asked.popleft()
        self._show(end, call, message.call_id)
        call.state = "heard"
        call.own[end.side] = self._free_id(end.side, session)
        kind = OCRP if call.kind == OCRQ else ICRP
        if self.random.random() < 0.1 and not call.lasting:
            self._say(end, build(kind, call_id=0, peer_id=message.call_id, result=REFUSED))
            return
        self._say(end, build(kind, call_id=call.own[end.side], peer_id=message.call_id))

    def _reply(self, end, message):
        waiting = [call for call in end.session.calls
                   if call.caller == end.side and call.own[end.side] == message.peer_id and call.state in ("asked", "heard")]
        if len(waiting) != 1:
            raise Wrong(f"{end.name}: {message} for {len(waiting)} calls")
        [call] = waiting
        if message.result != 1:
            if call.state == "asked":  # the proxy's own answer: the other end never hears of it
                end.asked.remove(call)
            self.refused += 1
            self._remove(call)
            return
        if call.state != "heard":
            raise Wrong(f"{end.name}: {message} before the other end has heard of the call")
        self._show(end, call, message.call_id)
        call.state = "open"
        self.under_way -= 1
        self.opened += 1
        if call.kind == ICRQ:
            self._say(end, build(ICCN, peer_id=message.call_id))

    def _call_of(self, end, shown):
        return self.live.get((end.own, end.proxy, shown))

    def _clear(self, end, message):
        """A Call-Clear-Request from the other end; it may cross our Call-Disconnect-Notify."""
        call = self._call_of(end, message.call_id)
        if call is None or call.session is not end.session:
            if self.rests.get((end.own, end.proxy, message.call_id), 0) > time.monotonic():
                return
            raise Wrong(f"{end.name}: {message} of no call")
        self._rest(call, end.side)
        self._say(end, build(CDN, call_id=call.own[end.side]))

    def _disconnect(self, end, message):
        call = self._call_of(end, message.call_id)
        if call is None or call.session is not end.session:
            raise Wrong(f"{end.name}: {message} of no call")
        if call.state != "ending":
            raise Wrong(f"{end.name}: {message}, though nobody has ended {call.name}")
        self._remove(call)

    def close(self):
        for session in self.sessions:
            for end in session.ends:
                if end:
                    end.sock.close()
        for end in self.new.values():
            end.sock.close()
        self.epoll.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()
