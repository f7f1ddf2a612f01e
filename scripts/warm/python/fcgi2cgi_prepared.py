"""Processes in which a script has got ready, once, for what is asked for again and again.

A script may call `__prepared__()`, which is there only in such a process, when it has made what does not depend on a
request but on its arguments. From then on the process only forks: each request with these arguments gets a process in
which the call returns, with the request's own environment. That is so as long as nothing has changed that the script has
looked at: files, also those that were not there, and environment variables. Otherwise, a request is served as if the
process were not there, and a new one gets ready. A script with nothing to make ends instead, with status 0.
"""

import collections
import marshal
import os
import signal
import sys
import time

from fcgi2cgi_forked import listed, pairs
from fcgi2cgi_look import Look, is_racy, seen
from fcgi2cgi_standby import tell

MAX_PROCESSES = 8
MAX_SECONDS = 10
# How often something is asked for before it is prepared: the first time, and at most, where it fails or changes often.
FIRST_ASKED, MAX_ASKED = 2, 128
# A process that has served fewer requests was not worth it.
FEW_SERVED = 8
# What is asked for is remembered so often.
MAX_REMEMBERED = 1_000
# Requests of each such process that teach which memory they write to.
PAGE_LESSONS = 8
# Of a reason: it is part of a line.
MAX_REASON = 1_000


class Preparation:
    """One such process, as the fork server has it; `variables` are those of the request that it is forked after, and
    `directories` those in which modules are looked for, as they are then."""

    def __init__(self, key, prefix, variables, directories):
        self.key = key
        # Of the names of its pipes.
        self.prefix = prefix
        self.pid = None
        self.given = variables
        self.directories = directories
        self.since = time.monotonic()
        self.begun_at = time.time_ns()
        self.told = b''
        # What it has looked at; None until it is ready.
        self.files = None
        self.variables = None
        self.served = 0
        self.hearing, self.telling = os.pipe()
        try:
            self.report, self.reporting = os.pipe()
        except OSError:
            os.close(self.hearing)
            os.close(self.telling)
            raise
        os.set_blocking(self.report, False)

    def fileno(self):
        return self.report

    def forget(self):
        """There is no process."""
        for end in self.hearing, self.telling, self.report, self.reporting:
            os.close(end)

    def fits(self, variables, directories):
        """Whether a request with these would find what the script has found."""
        return self.directories is directories and all(
            variables.get(name) == value for name, value in self.variables) and all(
            seen(path, is_whole) == known for path, is_whole, known in self.files)


class Preparations:
    """Those of a fork server, by working directory and arguments; `pids` are all that have not ended."""

    def __init__(self):
        self.by_key = {}
        self.pids = {}
        self.starting = []
        self.count = 0
        # How often each was asked for, and how often it has to be; None for never.
        self.asked = collections.Counter()
        self.needed = {}

    def run(self, fields, message, directories):
        """Has a request run by the process that is ready for it; False where none is."""
        key, variables = key_of(fields)
        self.asked[key] += 1
        found = self.by_key.get(key)
        if found is None or found.files is None:
            return False
        if not found.fits(variables, directories):
            self.retire(found)
            return False
        try:
            tell(found.telling, message)
        except BrokenPipeError:
            self.retire(found)
            return False
        found.served += 1
        # The one that was asked for last is last.
        self.by_key[key] = self.by_key.pop(key)
        return True

    def begin(self, fields, directories):
        """A process to be forked, if one is worth it."""
        key, variables = key_of(fields)
        if key in self.by_key or self.starting or not self.is_worth(key):
            return None
        if len(self.by_key) >= MAX_PROCESSES:
            oldest = next(iter(self.by_key.values()))
            if self.asked[oldest.key] >= self.asked[key]:
                # It would change places with another one again and again.
                self.asked[oldest.key] //= 2
                return None
            self.retire(oldest)
        self.count += 1
        return Preparation(key, b'p%d-' % self.count, variables, directories)

    def is_worth(self, key):
        if len(self.asked) > MAX_REMEMBERED:
            self.asked.clear()
            self.needed.clear()
        needed = self.needed.setdefault(key, FIRST_ASKED)
        return needed is not None and self.asked[key] >= needed

    def begun(self, preparation):
        """In the fork server: it was forked."""
        os.close(preparation.hearing)
        os.close(preparation.reporting)
        self.by_key[preparation.key] = self.pids[preparation.pid] = preparation
        self.starting.append(preparation)

    def patience(self):
        """The seconds until one has taken too long."""
        if not self.starting:
            return None
        return max(0, self.starting[0].since + MAX_SECONDS - time.monotonic())

    def look(self, ready):
        """Hears of those that get ready; gives the reasons of those that can't."""
        for each in self.starting[:]:
            if each in ready:
                yield from self.hear(each)
            elif time.monotonic() - each.since > MAX_SECONDS:
                yield self.refuse(each, 'it takes longer than %d s' % MAX_SECONDS, None)

    def hear(self, each):
        try:
            piece = os.read(each.report, 65_536)
        except BlockingIOError:
            # It has ended, and something that it has started has not.
            piece = b''
        each.told += piece
        if piece:
            return
        self.heard(each)
        try:
            why, files, names = marshal.loads(each.told)
        except (EOFError, TypeError, ValueError):
            # It ends, maybe in the middle of its report, and `ended` tells how.
            if each.pid in self.pids:
                os.kill(each.pid, signal.SIGKILL)
            return
        if why is not None:
            yield self.refuse(each, why, MAX_ASKED)
        elif any(is_racy(known, each.begun_at) for _, _, known in files):
            self.retire(each)
        else:
            each.variables = [(name, each.given.get(name)) for name in names]
            each.files = files
        each.given = each.told = None

    def heard(self, each):
        if each in self.starting:
            self.starting.remove(each)
            os.close(each.report)

    def refuse(self, each, why, needed):
        """It is not tried again before it was asked for so often; never, for None."""
        self.retire(each)
        self.needed[each.key] = needed
        return (b'%s: %s' % (b' '.join(each.key[1:]), why.encode('utf-8', 'surrogateescape')))[:MAX_REASON]

    def retire(self, each):
        """It ends when the requests that it has begun have ended."""
        if self.by_key.get(each.key) is not each:
            return
        del self.by_key[each.key]
        self.heard(each)
        os.close(each.telling)
        if each.files is None and each.pid in self.pids:
            # It may be anywhere in its script.
            os.kill(each.pid, signal.SIGKILL)
        needed = self.needed.get(each.key)
        if needed is not None:
            self.needed[each.key] = min(MAX_ASKED, 2 * needed) if each.served < FEW_SERVED else FIRST_ASKED
        self.asked[each.key] = 0

    def ended(self, pid, status):
        """Gives the reason, if it could not get ready."""
        each = self.pids.pop(pid)
        while each in self.starting:
            yield from self.hear(each)
        is_retired = self.by_key.get(each.key) is not each
        if each.files is not None and not (is_retired and status == 0):
            # Somebody has killed it. As nobody could say how its requests end, the fork server ends as well.
            os._exit(1)
        if is_retired:
            return
        reason = self.refuse(each, 'the script ends before it is ready', MAX_ASKED)
        if status != 0:
            yield reason

    def close(self):
        """No more requests come."""
        for each in list(self.by_key.values()):
            self.retire(each)

    def detach(self):
        """In a forked process: none of them is its own."""
        for each in self.by_key.values():
            os.close(each.telling)
        for each in self.starting:
            os.close(each.report)
        self.__init__()


class Hook:
    """What the script finds as `__prepared__`: it returns in the process of each request. `wait` waits for them."""

    def __init__(self, preparation, wait):
        self.root = preparation.key[0]
        self.report = preparation.reporting
        self.wait = wait
        os.close(preparation.telling)
        os.close(preparation.report)

    def begin(self):
        # The fork server, which would end this process, may be gone.
        signal.alarm(MAX_SECONDS + 1)
        self.look = Look(self.root, self.stop)
        self.look.begin()

    def tell(self, *report):
        with open(self.report, 'wb') as file:
            file.write(marshal.dumps(report))

    def stop(self, why):
        self.tell(why, [], [])
        os._exit(0)

    def compute(self, function):
        """Gives what the function gives. It is done in a fraction of the time, as its calls are not looked at; so it may look
        at nothing but files that it opens."""
        return self.look.compute(function)

    def __call__(self):
        files, names = self.look.end()
        del self.look
        signal.alarm(0)
        self.tell(None, files, names)
        keep(sys._getframe(1))
        request = self.wait()
        request.arrive()
        if request.lesson is not None:
            request.lesson.begin()


# What the script holds where it waits. Where it would let go of that at its end, the memory of all of it was copied.
kept = []


def keep(frame):
    while frame is not None:
        kept.append(list(frame.f_locals.values()))
        frame = frame.f_back


def key_of(fields):
    """Of a message to run a request: its working directory and arguments, and its variables."""
    rest = iter(fields[3:])
    return (next(rest), *listed(rest)), pairs(rest)
