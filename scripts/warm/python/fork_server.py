"""The fork server of one Python CGI script: loads it and its modules once, and forks a process for each request.

usage: PYTHON [OPTION...] fork_server.py SCRIPT

src/runners/warm/messages.ts says what it is told on descriptor 0 and what it answers on descriptor 1. A forked process
is to be what `PYTHON [OPTION...] SCRIPT` would be after exec; where it can't be, that is said before anything runs.
"""

import os
import sys

# Python has put this directory there, unless it was told not to.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
_writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
import fcgi2cgi_ending as ending
import fcgi2cgi_forked as forked
import fcgi2cgi_loading as loading
sys.dont_write_bytecode = _writes
del sys.path[0]
for own in ending, forked, loading:
    del sys.modules[own.__name__]

import select
import signal
import struct


LINE_MODULES = 16


class ForkServer:
    """Serves until nothing is left to do; `serve` returns the request in its process, and None in the fork server."""

    def __init__(self, script):
        self.script = script
        self.messages = os.dup(0)
        self.replies = os.dup(1)
        # What reads standard input while it is loaded waits for ever: the bridge does without us then.
        stdin, self.silence = os.pipe()
        os.dup2(stdin, 0)
        os.close(stdin)
        os.dup2(2, 1)
        self.wakeup, wakeup = os.pipe()
        self.wakeups = (self.wakeup, wakeup)
        for end in self.wakeups:
            os.set_blocking(end, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakeup)
        # The processes, and where each writes what it has to teach, if it may.
        self.running = {}
        self.opening = {}

    def serve(self):
        message = self.receive()
        if message is None or not self.load(message):
            return None
        is_open = True
        while is_open or self.running:
            ready = select.select([self.wakeup, self.messages] if is_open else [self.wakeup], [], [])[0]
            if self.wakeup in ready:
                self.reap()
            if self.messages in ready:
                message = self.receive()
                if message is None:
                    is_open = False
                    # Nobody will open what was not opened yet.
                    for number in list(self.opening):
                        self.let_go(number)
                elif message[0] == b'opened':
                    self.let_go(message[1])
                else:
                    request = self.fork(message)
                    if request is not None:
                        return request
        return None

    def receive(self):
        """The next message's fields; None at the end."""
        header = self.read(4)
        octets = header and self.read(struct.unpack('>I', header)[0])
        return octets and octets.split(b'\0')[:-1]

    def read(self, size):
        octets = b''
        while len(octets) < size:
            piece = os.read(self.messages, size - len(octets))
            if not piece:
                return None
            octets += piece
        return octets

    def say(self, *words):
        line = b' '.join(map(forked.escape, words)) + b'\n'
        while line:
            line = line[os.write(self.replies, line):]

    def load(self, message):
        fields = iter(message[1:])
        self.directory = next(fields)
        start, variables, modules = (forked.pairs(fields) for _ in range(3))
        # What is between us and who has started us may have added some: env, a version manager, Python itself.
        added = {name: value for name, value in os.environb.items() if start.get(name) != value}
        removed = [name for name in start if name not in os.environb]
        self.environment = forked.Environment(added, removed)
        self.environment.become(variables)
        try:
            self.loaded = loading.Loaded(self.script, modules)
            ending.spare()
            loading.freeze()
        except loading.Unfit as error:
            self.say('unfit', str(error))
            return False
        self.say('ready', *sorted(self.loaded.variables))
        return True

    def fork(self, message):
        """Forks a process for a request; gives the request in it."""
        fields = iter(message[1:])
        number, may_teach, directory = next(fields), next(fields) == b'learn', next(fields)
        changed = self.loaded.changed()
        if changed is not None:
            self.say('stale', number, changed)
            return None
        lesson = os.path.join(self.directory, number)
        pipes = []
        try:
            os.chdir(directory)
            for kind in ('in', 'out', 'err'):
                pipes.append(forked.Pipe(os.path.join(self.directory, b'%s.%s' % (number, kind.encode()))))
            pid = os.fork()
        except OSError as error:
            for pipe in pipes:
                pipe.close()
            self.say('refused', number, str(error))
            return None
        if pid == 0:
            self.leave(number, pipes)
            if may_teach:
                forked.teach(lesson, self.loaded.names)
            arguments = forked.listed(fields)
            self.environment.become(forked.pairs(fields))
            return forked.Request(self.script, self.loaded.code, arguments)
        self.running[pid] = lesson if may_teach else None
        self.opening[number] = pipes
        return None

    def leave(self, number, pipes):
        """Makes this forked process a session of its own that has its pipes and nothing of ours."""
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for descriptor, end in enumerate((pipes[0].reading, pipes[1].writing, pipes[2].writing)):
            os.dup2(end, descriptor)
        # Not before it leads a group, by which it may be ended.
        self.say('forked', number, str(os.getpid()))
        for others in self.opening.values():
            pipes = [*pipes, *others]
        ends = [end for pipe in pipes for end in pipe.ends]
        for end in [*ends, *self.wakeups, self.messages, self.replies, self.silence]:
            os.close(end)

    def let_go(self, number):
        """The bridge has its ends: until then ours have kept either side from finding nobody on the other."""
        for pipe in self.opening.pop(number):
            pipe.close()

    def reap(self):
        try:
            os.read(self.wakeup, 4096)
        except BlockingIOError:
            pass
        while self.running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            self.learn(self.running.pop(pid, None))
            self.say('ended', str(pid), str(status))

    def learn(self, lesson):
        if lesson is None:
            return
        try:
            with open(lesson, 'rb') as file:
                learned = file.read()
            os.unlink(lesson)
        except FileNotFoundError:
            return
        # It ends with an empty line, if its process could finish it.
        if learned.endswith(b'\n\n'):
            modules = learned.split(b'\n')[:-2]
            # In short lines: processes that were just forked may say something, too.
            for first in range(0, len(modules), LINE_MODULES):
                self.say('learned', *modules[first:first + LINE_MODULES])


# A name for it, as a forked process would otherwise take it apart at once, and with it what is shared.
server = ForkServer(sys.argv[1])
request = server.serve()
if request is None:
    # Whatever the modules have left to be done at the end is for the processes.
    os._exit(0)
request.run()
