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
MADV_POPULATE_WRITE = 23

_madvise = libc.function('madvise')


class Pages:
    """Counts lessons; `ranges` are the pages that most of them name."""

    def __init__(self):
        self.lessons = 0
        self.times = collections.Counter()
        self.ranges = []

    def learn(self, line):
        """Takes what `copied` has given in a process of the same fork server."""
        self.lessons += 1
        for start, end in (piece.split(b'-') for piece in line.split()):
            self.times.update(range(int(start), int(end)))
        usual = sorted(page for page, times in self.times.items() if 2 * times > self.lessons)
        self.ranges = [(libc.Address(PAGE * start), libc.Size(PAGE * (end - start))) for start, end in runs(usual)]

    def copy(self):
        """Has this process have its own copies now. What can't be copied, is when it is written to."""
        for start, length in self.ranges:
            _madvise(start, length, MADV_POPULATE_WRITE)


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
