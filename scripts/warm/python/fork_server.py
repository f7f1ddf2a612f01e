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
import fcgi2cgi_effects as effects
import fcgi2cgi_ending as ending
import fcgi2cgi_forked as forked
import fcgi2cgi_libc as libc
import fcgi2cgi_loading as loading
import fcgi2cgi_pages as pages
import fcgi2cgi_standby as standby
sys.dont_write_bytecode = _writes
del sys.path[0]
for own in effects, ending, forked, libc, loading, pages, standby:
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
        # The processes that have, or had, something to do.
        self.running = {}
        self.pages = pages.Pages()
        # The process of the next request.
        self.next = None
        self.count = 0

    def serve(self):
        message = self.receive()
        if message is None or not self.load(split(message)):
            return None
        request = self.prepare_ahead()
        is_open = True
        while request is None and (is_open or self.running):
            ready = select.select([self.wakeup, self.messages] if is_open else [self.wakeup], [], [])[0]
            if self.wakeup in ready:
                self.reap()
            if self.messages in ready:
                message = self.receive()
                if message is None:
                    is_open = False
                    self.give_up_waiting()
                else:
                    request = self.run(message)
        return request

    def receive(self):
        """The next message; None at the end."""
        header = self.read(4)
        return header and self.read(struct.unpack('>I', header)[0])

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

    def load(self, fields):
        fields = iter(fields[1:])
        self.directory = next(fields)
        start, variables, modules, self.limits = (forked.pairs(fields) for _ in range(4))
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

    def run(self, message):
        """Has the next process run a request, and forks the one after it; gives, in a process, its request."""
        _, number, lesson, directory, *_ = split(message)
        changed = self.loaded.changed()
        if changed is not None:
            self.say('stale', number, changed)
            return None
        try:
            os.chdir(directory)
            while True:
                request = self.prepare()
                if request is not None:
                    return request
                process, self.next = self.next, None
                try:
                    process.tell(message)
                    break
                except BrokenPipeError:
                    # It was killed, and is still to be reaped.
                    process.remove_pipes()
                    self.running[process.pid] = process
        except OSError as error:
            self.say('refused', number, str(error))
            return None
        process.number, process.lesson = number, self.lesson(number) if lesson == b'learn' else None
        self.running[process.pid] = process
        return self.prepare_ahead()

    def prepare_ahead(self):
        try:
            return self.prepare()
        except OSError:
            # The request that needs it will have to say why.
            return None

    def prepare(self):
        """Forks the process of the next request, if it is not there yet; gives, in that process, its request."""
        if self.next is not None:
            return None
        self.count += 1
        process = standby.Standby(self.directory, b'%d' % self.count)
        try:
            pid = os.fork()
        except OSError:
            process.abandon()
            raise
        if pid == 0:
            try:
                return self.become(process)
            except BaseException as error:
                # Whatever goes wrong there: it is no fork server.
                os.write(2, b'%s\n' % str(error).encode('utf-8', 'surrogateescape'))
                os._exit(1)
        process.forked(pid)
        self.next = process
        return None

    def become(self, process):
        """Makes this forked process what it is to be, with nothing of ours, and waits for its request."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for end in [*self.wakeups, self.messages, self.silence]:
            os.close(end)
        message = process.wait(self.pages)
        if not message:
            os._exit(0)
        fields = iter(split(message)[1:])
        number, may_teach, directory = next(fields), next(fields) == b'learn', next(fields)
        # Not before it leads a group, by which it may be ended.
        self.say('forked', number, str(os.getpid()), process.name)
        os.close(self.replies)
        process.open_streams()
        os.chdir(directory)
        forked.limit(self.limits)
        if may_teach:
            forked.teach(self.lesson(number), self.loaded.names)
        arguments = forked.listed(fields)
        self.environment.become(forked.pairs(fields))
        return forked.Request(self.script, self.loaded.code, arguments)

    def lesson(self, number):
        """The file in which a request's process writes what it has to teach."""
        return os.path.join(self.directory, number)

    def give_up_waiting(self):
        """Nobody asks for anything more, and nobody will open what was not opened yet."""
        for process in self.running.values():
            if not process.has_begun():
                os.kill(process.pid, signal.SIGKILL)
        if self.next is not None:
            self.next.give_up()
            self.running[self.next.pid] = self.next
            self.next = None

    def reap(self):
        try:
            os.read(self.wakeup, 4096)
        except BlockingIOError:
            pass
        while self.running or self.next is not None:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            if self.next is not None and self.next.pid == pid:
                self.next.give_up()
                process, self.next = self.next, None
            else:
                process = self.running.pop(pid)
            self.learn(process.lesson)
            self.say('ended', str(pid), str(status))
            if not process.has_begun():
                process.remove_pipes()
                if process.number is not None:
                    self.say('refused', process.number, 'its process was ended before it began')

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
            written, *modules = learned.split(b'\n')[:-2]
            self.pages.learn(written)
            # In short lines: processes that were just forked may say something, too.
            for first in range(0, len(modules), LINE_MODULES):
                self.say('learned', *modules[first:first + LINE_MODULES])


def split(message):
    return message.split(b'\0')[:-1]


# A name for it, as a forked process would otherwise take it apart at once, and with it what is shared.
server = ForkServer(sys.argv[1])
request = server.serve()
if request is None:
    # Whatever the modules have left to be done at the end is for the processes.
    os._exit(0)
request.run()
