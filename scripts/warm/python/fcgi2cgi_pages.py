"""The pages of memory that requests write to as a rule, which a process can copy before it has one.

After a fork, each page that either process writes to is copied first, and a page is written to whenever Python counts
references to anything in it: hgweb's pages write to some 2,000 that way, which takes a third of their time. It is
learned from the first requests which ones they are.
"""

import collections
import struct

import fcgi2cgi_libc as libc

PAGE = 4096
# Of a page in /proc/self/pagemap: that it is there, that it is a file's, and that no other process has it.
PRESENT, FILE, EXCLUSIVE = 1 << 63, 1 << 61, 1 << 56
MADV_NORMAL, MADV_POPULATE_WRITE = 0, 23
# What Linux 6.14 takes for the file descriptor of the process that asks, and how many ranges at once.
PIDFD_SELF = -10000
IOV_MAX = 1024

_madvise = libc.function('madvise')
_process_madvise = libc.function('process_madvise')


class Pages:
    """Counts lessons; `ranges` are the pages that most of them name, by address and length, `vectors` the same."""

    def __init__(self):
        self.lessons = 0
        self.times = collections.Counter()
        self.ranges = []
        self.vectors = []

    def learn(self, line):
        """Takes what `copied` has given in a process of the same fork server."""
        self.lessons += 1
        for start, end in (piece.split(b'-') for piece in line.split()):
            self.times.update(range(int(start), int(end)))
        usual = sorted(page for page, times in self.times.items() if 2 * times > self.lessons and is_mapped(page))
        self.ranges = [(PAGE * start, PAGE * (end - start)) for start, end in runs(usual)]
        self.vectors = [vector(self.ranges[first:first + IOV_MAX]) for first in range(0, len(self.ranges), IOV_MAX)]

    def copy(self):
        """Has this process have its own copies now. What can't be copied, is when it is written to."""
        if _process_madvise is not None and all(map(copy_at_once, self.vectors)):
            return
        for start, length in self.ranges:
            _madvise(libc.Address(start), libc.Size(length), MADV_POPULATE_WRITE)


def is_mapped(page):
    """Whether this process has it: others are what the forked one has added."""
    return _madvise(libc.Address(PAGE * page), libc.Size(PAGE), MADV_NORMAL) == 0


def vector(ranges):
    """Ranges as an array of struct iovec, how many they are, and how many octets."""
    array = b''.join(struct.pack('@PN', *each) for each in ranges)
    return array, libc.Size(len(ranges)), sum(length for _, length in ranges)


def copy_at_once(vector):
    """One call for a thousand: by themselves they take a tenth of all that is done for a request."""
    array, count, octets = vector
    return _process_madvise(PIDFD_SELF, array, count, MADV_POPULATE_WRITE, 0) == octets


def copied():
    """The pages that this forked process has written to, as START-END ...; nothing where the system does not say."""
    if _madvise is None:
        return b''
    written = []
    try:
        with open('/proc/self/maps') as maps, open('/proc/self/pagemap', 'rb', 0) as pagemap:
            for addresses, kind, *_ in map(str.split, maps):
                if kind != 'rw-p':
                    continue
                first, end = (int(address, 16) // PAGE for address in addresses.split('-'))
                pagemap.seek(8 * first)
                words = pagemap.read(8 * (end - first))
                written += [first + number for number, (word,) in enumerate(struct.iter_unpack('Q', words))
                            if word & (PRESENT | FILE | EXCLUSIVE) == PRESENT | EXCLUSIVE]
    except OSError:
        return b''
    return b' '.join(b'%d-%d' % run for run in runs(written))


def runs(numbers):
    """Sorted numbers as pairs: the first and, of each run, the one after the last."""
    found = []
    for number in numbers:
        if found and found[-1][1] == number:
            found[-1][1] = number + 1
        else:
            found.append([number, number + 1])
    return [tuple(run) for run in found]
