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
import fcgi2cgi_immortal as immortal
import fcgi2cgi_libc as libc
import fcgi2cgi_loading as loading
import fcgi2cgi_look as look
import fcgi2cgi_outside as outside
import fcgi2cgi_pages as pages
import fcgi2cgi_prepared as prepared
import fcgi2cgi_search as search
import fcgi2cgi_standby as standby
import fcgi2cgi_trial as trial
import fcgi2cgi_view as view
import fcgi2cgi_watch as watch
sys.dont_write_bytecode = _writes
del sys.path[0]
for own in (effects, ending, forked, immortal, libc, loading, look, outside, pages, prepared, search, standby, trial, view,
            watch):
    del sys.modules[own.__name__]

import select
import signal
import struct


# Of a line: what is longer may get mixed up with what processes say that were just forked.
LINE_BYTES = 3000


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
        # Begins the names of its processes' pipes.
        self.prefix = b''
        # The processes in which the script has got ready; none has those of its own.
        self.preparations = prepared.Preparations()
        # Requests whose processes are yet to teach which memory they write to.
        self.page_lessons = 0

    def serve(self):
        message = self.receive()
        if message is None or not self.load(split(message)):
            return None
        return self.attend()

    def attend(self):
        request = self.prepare_ahead()
        is_open = True
        while request is None and (is_open or self.running or self.preparations.pids):
            waits_for = [self.wakeup, *([self.messages] if is_open else []), *self.preparations.starting]
            ready = select.select(waits_for, [], [], self.preparations.patience())[0]
            if self.wakeup in ready:
                self.reap()
            for reason in self.preparations.look(ready):
                self.say('unprepared', reason)
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
        programs = loading.on_the_way(forked.listed(fields), start.get(b'PATH'))
        # What is between us and who has started us may have added some: env, a version manager, Python itself.
        added = {name: value for name, value in os.environb.items() if start.get(name) != value}
        removed = [name for name in start if name not in os.environb]
        self.environment = forked.Environment(added, removed)
        self.environment.become(variables)
        try:
            self.loaded = loading.Loaded(self.script, modules, programs)
            ending.spare()
            immortal.share()
            loading.freeze()
        except loading.Unfit as error:
            self.say('unfit', str(error))
            return False
        self.say('ready', *sorted(self.loaded.variables))
        return True

    def run(self, message):
        """Has the next process run a request, and forks the one after it; gives, in a process, its request."""
        fields = split(message)
        _, number, lesson, directory, *_ = fields
        if not self.prefix:
            changed = self.loaded.changed(directory)
            if changed is not None:
                self.say('stale', number, changed)
                return None
            # What a request is to teach, it finds out from its first line on.
            if lesson != b'learn' and self.loaded.can_prepare and self.preparations.run(
                    fields, message, self.loaded.search.directories):
                return None
        elif self.page_lessons > 0:
            self.page_lessons -= 1
            fields[2] = lesson = b'learn'
            message = b''.join(field + b'\0' for field in fields)
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
        request = self.prepare_ahead()
        if request is None and not self.prefix and lesson != b'learn' and self.loaded.can_prepare:
            request = self.get_ready(fields)
        return request

    def get_ready(self, fields):
        """Forks a process in which the script gets ready, where that is worth it; gives, in that process, what it runs."""
        try:
            preparation = self.preparations.begin(fields, self.loaded.search.directories)
        except OSError:
            return None
        if preparation is None:
            return None
        try:
            preparation.pid = os.fork()
        except OSError:
            preparation.forget()
            return None
        if preparation.pid != 0:
            self.preparations.begun(preparation)
            return None
        try:
            for end in [*self.wakeups, self.messages]:
                os.close(end)
            if self.next is not None:
                os.close(self.next.telling)
            self.preparations.detach()
            self.loaded.watch.close()
            self.prefix, self.page_lessons = preparation.prefix, prepared.PAGE_LESSONS
            self.messages = preparation.hearing
            self.running, self.next, self.count = {}, None, 0
            self.pages = pages.Pages()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            fields = iter(fields[3:])
            os.chdir(next(fields))
            # What is ready stays for many requests, each of which has CPU time of its own.
            cpu = {name: value for name, value in self.limits.items() if name == b'cpu'}
            forked.limit({name: value for name, value in self.limits.items() if name not in cpu})
            self.limits = cpu
            arguments = forked.listed(fields)
            self.environment.become(forked.pairs(fields))
            request = forked.Request(self.script, self.loaded.code, arguments, None)
            request.hook = prepared.Hook(preparation, self.wait_prepared)
            return request
        except BaseException as error:
            os.write(2, b'%s\n' % str(error).encode('utf-8', 'surrogateescape'))
            os._exit(1)

    def wait_prepared(self):
        """In a process in which the script has got ready: returns in the process of each request."""
        try:
            ending.spare()
            immortal.share()
            loading.freeze()
            self.wakeups = os.pipe()
            self.wakeup, wakeup = self.wakeups
            for end in self.wakeups:
                os.set_blocking(end, False)
            signal.signal(signal.SIGCHLD, lambda *_: None)
            signal.set_wakeup_fd(wakeup)
            request = self.attend()
        except BaseException as error:
            # The script is not to go on.
            os.write(2, b'%s\n' % str(error).encode('utf-8', 'surrogateescape'))
            os._exit(1)
        if request is None:
            os._exit(0)
        return request

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
        process = standby.Standby(self.directory, b'%s%d' % (self.prefix, self.count))
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
        """Makes this forked process what it is to be, with nothing of the fork server's, and waits for its request."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for end in [*self.wakeups, self.messages, self.silence]:
            os.close(end)
        self.preparations.detach()
        self.loaded.watch.close()
        message = process.wait(self.pages if self.page_lessons == 0 else None)
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
        lesson = None
        if may_teach and self.prefix:
            lesson = forked.PageLesson(self.lesson(number))
        elif may_teach:
            lesson = forked.Lesson(self.lesson(number), self.loaded.names, self.loaded.view)
        arguments = forked.listed(fields)
        self.environment.become(forked.pairs(fields))
        return forked.Request(self.script, self.loaded.code, arguments, lesson)

    def lesson(self, number):
        """The file in which a request's process writes what it has to teach."""
        return os.path.join(self.directory, number)

    def give_up_waiting(self):
        """Nobody asks for anything more, and nobody will open what was not opened yet."""
        for process in self.running.values():
            # Those of a prepared process may be about to be opened: it ends where others go on.
            if not self.prefix and not process.has_begun():
                os.kill(process.pid, signal.SIGKILL)
        if self.next is not None:
            self.next.give_up()
            self.running[self.next.pid] = self.next
            self.next = None
        self.preparations.close()

    def reap(self):
        try:
            os.read(self.wakeup, 4096)
        except BlockingIOError:
            pass
        while self.running or self.next is not None or self.preparations.pids:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            if pid in self.preparations.pids:
                for reason in self.preparations.ended(pid, status):
                    self.say('unprepared', reason)
                continue
            if self.next is not None and self.next.pid == pid:
                self.next.give_up()
                process, self.next = self.next, None
            else:
                process = self.running.pop(pid, None)
            if process is None:
                # What was before the interpreter in its process has started it.
                continue
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
            if self.prefix:
                return
            line = []
            for module in modules:
                if sum(map(len, line)) + len(module) > LINE_BYTES:
                    self.say('learned', *line)
                    line = []
                line.append(module)
            self.say('learned', *line)


def split(message):
    return message.split(b'\0')[:-1]


# A name for it, as a forked process would otherwise take it apart at once, and with it what is shared.
server = ForkServer(sys.argv[1])
request = server.serve()
if request is None:
    # Whatever the modules have left to be done at the end is for the processes.
    os._exit(0)
request.run()
