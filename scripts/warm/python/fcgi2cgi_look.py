"""What a script looks at while it gets ready (see `fcgi2cgi_prepared`), so that it can be told whether it would find the
same now. What can't be told later, it may not look at: then it does not get ready.
"""

import os
import sys
import types
from stat import S_ISDIR, S_ISLNK

import fcgi2cgi_ending as ending
import fcgi2cgi_libc as libc
from fcgi2cgi_effects import Effects
from fcgi2cgi_forked import loaded_files
from fcgi2cgi_trial import FUNCTIONS, OF_NOW, PROCESS, RANDOM, SYSTEM_EVENTS, TIME, Watched

MAX_FILES = 1_000
MAX_KIB = 65_536
# A file that has changed so short a time before may change again and look the same: by the system's clock, and where a
# file system counts seconds.
RACY_NS, RACY_SECONDS_NS = 100_000_000, 2_100_000_000
# <linux/magic.h>: file systems that tell this system of every change at once, as those of other machines do not.
LOCAL = {0xEF53, 0x58465342, 0x9123683E, 0x1021994, 0x858458F6, 0x794C7630, 0x2FC12FC1, 0xF2F52010, 0xCA451A4E,
         0x73717368, 0xE0F5E1E2}
# Functions that look at a file, or a directory, that their first argument names.
FILES = {'stat', 'lstat', 'access', 'readlink'}
DIRECTORIES = {'listdir', 'scandir'}
# Of these modules, all that asks for a file or a directory.
SEEING = {
    'posix': FILES | DIRECTORIES | {'statvfs', 'pathconf', 'getxattr', 'listxattr'},
    'mercurial.cext.osutil': {'listdir', 'statfiles', 'getfstype', 'getfsmountpoint'},
}
ASKING = {
    'posix': {**dict.fromkeys(FUNCTIONS['os'][RANDOM], RANDOM), **dict.fromkeys(FUNCTIONS['os'][PROCESS], PROCESS),
              'uname': 'asks for the machine', 'times': TIME, 'getloadavg': TIME},
    'time': dict.fromkeys((*OF_NOW, 'time', 'time_ns', 'sleep', 'clock_gettime', 'clock_gettime_ns'), TIME),
    '_ssl': dict.fromkeys(FUNCTIONS['_ssl'][RANDOM], RANDOM),
    '_uuid': dict.fromkeys(FUNCTIONS['_uuid'][RANDOM], RANDOM),
    '_thread': dict.fromkeys(FUNCTIONS['_thread'][PROCESS], PROCESS),
}
# Methods, by the class and their names.
ASKING_METHODS = {
    **{('datetime', name): TIME for name in ('now', 'utcnow', 'today')},
    **{('date', name): TIME for name in ('today',)},
    **{('Random', name): RANDOM for name in ('random', 'seed', 'getrandbits')},
}
USERS = {'pwd': {'getpwuid', 'getpwnam', 'getpwall'}, 'grp': {'getgrgid', 'getgrnam', 'getgrall'}}
USER_FILES = {'pwd': b'/etc/passwd', 'grp': b'/etc/group'}
SWITCH = b'/etc/nsswitch.conf'
EVENTS = 'ctypes. mmap. os.chdir os.fwalk os.getxattr os.listxattr socket.'.split()

lstat, readlink, join, dirname = os.lstat, os.readlink, os.path.join, os.path.dirname
OWN_DIRECTORY = dirname(__file__)


def seen(path, is_whole):
    """Two are the same if nobody has changed the file, or what it stands for, between them; of a directory that is only
    on the way, which one it is."""
    try:
        status = lstat(path)
    except OSError as error:
        return error.errno
    same = status.st_dev, status.st_ino, status.st_mode, status.st_uid, status.st_gid
    if not is_whole and S_ISDIR(status.st_mode):
        return same
    return *same, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def is_racy(known, since):
    """Whether it had changed so short a time before that it may have changed since and look the same."""
    if type(known) is int or len(known) == 5:
        return False
    changed = known[-1]
    return changed > since - (RACY_NS if changed % 1_000_000_000 else RACY_SECONDS_NS)


class Look(Effects):
    """From the script's first line on. `stop` is called with why it can't get ready, and does not return."""

    def __init__(self, root, stop):
        super().__init__()
        self.root = root
        self.stop = stop
        # By path: whether all of it counts, and what it was.
        self.files = {}
        self.is_over = False
        self.replaced = []
        self.loaded = set(loaded_files())
        self.random = random_state()
        self.given = dict(os.environb)

    def begin(self):
        self.replace('os', FILES, lambda given: self.read(given[:1], False))
        self.replace('os', DIRECTORIES, lambda given: self.read(given, True))
        # Its path is heard of as an event; but not what it is relative to.
        self.replace('os', {'open'}, lambda given: None)
        self.replace('mercurial.cext.osutil', DIRECTORIES, lambda given: self.read(given, True))
        for name, functions in USERS.items():
            self.replace(name, functions, lambda given, name=name: self.ask_for_user(name, *given))
        self.spread()
        self.watching = self.watched()
        self.watching.__enter__()
        sys.setprofile(self.notice)
        sys.addaudithook(self.hear)

    def replace(self, module, names, hear):
        module = sys.modules.get(module)
        if type(module) is not types.ModuleType:
            return
        for name in names:
            if hasattr(module, name):
                self.replaced.append((vars(module), name, getattr(module, name)))
                setattr(module, name, Seeing(getattr(module, name), hear, self.refuse))

    def spread(self):
        """Other modules have names of their own for them."""
        watched = {id(original): namespace[name] for namespace, name, original in self.replaced}
        for module in list(sys.modules.values()):
            if type(module) is not types.ModuleType or module.__name__ == 'posix':
                continue
            for name, value in list(vars(module).items()):
                if id(value) in watched and type(value) is types.BuiltinFunctionType:
                    self.replaced.append((vars(module), name, value))
                    vars(module)[name] = watched[id(value)]

    def hear(self, event, given):
        if self.is_over:
            return
        if event == 'open':
            path, _, flags = given
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC):
                self.refuse('writes to %s' % ascii(path))
            self.read((path,), True)
        elif event in (*SYSTEM_EVENTS, *EVENTS) or event.partition('.')[0] + '.' in (*SYSTEM_EVENTS, *EVENTS):
            self.refuse('does something to the system (%s)' % event)

    def notice(self, frame, event, function):
        """Of each call: what is asked in a way that the above does not see, is refused."""
        if event == 'call':
            code = frame.f_code
            if code.co_name == 'find_spec' and code.co_filename == '<frozen importlib._bootstrap_external>':
                directory = getattr(frame.f_locals.get('self'), 'path', None)
                if type(directory) is str:
                    self.pin(os.fsencode(join(os.fsdecode(self.root), directory)), True)
        elif event == 'c_call' and not frame.f_code.co_filename.startswith(OWN_DIRECTORY):
            name, of = function.__name__, getattr(function, '__self__', None)
            module = getattr(function, '__module__', None)
            why = ASKING.get(module, {}).get(name) or ASKING_METHODS.get((class_name(of), name))
            if why is not None:
                self.refuse('%s (%s)' % (why, name))
            # Of a name in a directory: what a link leads to is more than the directory says.
            if type(of) is os.DirEntry and (name == 'stat' or (name in ('is_dir', 'is_file') and of.is_symlink())):
                self.refuse('looks at files in a way that is not seen (%s of a name in a directory)' % name)
            if name in SEEING.get(module, ()) and not frame.f_code.co_filename.startswith('<frozen importlib'):
                self.refuse('looks at files in a way that is not seen (%s)' % name)
            if name in USERS.get(module, ()):
                self.refuse('asks for users in a way that is not seen (%s)' % name)

    def compute(self, function):
        """What a function gives whose calls need not be looked at one by one."""
        self.set_profile(None)
        try:
            return function()
        finally:
            self.set_profile(self.notice)

    def set_profile(self, notice):
        # That is done to the system, too.
        self.is_over = True
        sys.setprofile(notice)
        self.is_over = False

    def refuse(self, why):
        if not self.is_over:
            self.is_over = True
            self.stop(why)

    def read(self, given, is_whole):
        """What is ready depends on this file, or that it is not there."""
        path, *more = given or ('.',)
        if self.is_over or not isinstance(path, (str, bytes, os.PathLike)):
            return
        if more:
            self.refuse('lists %s with more than the names' % ascii(path))
        path = join(self.root, os.fsencode(path))
        if path.startswith(b'/proc/self/fd/'):
            # It names what was opened by another name.
            return
        if path.startswith((b'/dev/', b'/proc/', b'/sys/')) and path != b'/dev/null':
            self.refuse('reads %s' % ascii(path))
        # Of the directory with the repositories, and those above, where much comes and goes, counts which ones they are.
        self.pin(path, is_whole or not join(self.root, b'').startswith(join(path, b'')))

    def pin(self, path, is_whole):
        """Before it is read: that it is the same, by the same way. To look for it is to ask, too."""
        path = path.rstrip(b'/') or b'/'
        before = self.files.get(path)
        if before is not None and (before[0] or not is_whole):
            return
        if len(self.files) >= MAX_FILES:
            self.refuse('looks at more than %d files' % MAX_FILES)
        known = seen(path, is_whole)
        self.files[path] = is_whole, known
        above = dirname(path)
        if above != path:
            self.pin(above, False)
        if type(known) is not int and S_ISLNK(known[2]):
            self.pin(join(above, readlink(path)), is_whole)

    def ask_for_user(self, database, *asked):
        """The system's files say who that is, and nobody else does."""
        if self.is_over:
            return
        for path in USER_FILES[database], SWITCH:
            self.pin(path, True)
        sources = [b'files']
        for line in lines_of(SWITCH):
            name, _, words = line.partition(b'#')[0].partition(b':')
            if name.strip() == os.path.basename(USER_FILES[database]):
                sources = words.split()
        entries = (line.split(b':')[:3] for line in lines_of(USER_FILES[database]))
        known = {os.fsdecode(name): int(number) for name, _, number in (each for each in entries if len(each) == 3)
                 if number.isdigit()}
        is_there = any(each in known or each in known.values() for each in asked)
        if sources != [b'files'] and not (is_there and sources[:1] == [b'files']):
            self.refuse('asks for a user who may not be in %s' % ascii(USER_FILES[database]))

    def end(self):
        """What it has looked at: files, and the names of variables."""
        self.is_over = True
        sys.setprofile(None)
        for namespace, name, original in reversed(self.replaced):
            namespace[name] = original
        self.replaced.clear()
        self.watching.__exit__(None, None, None)
        # Each request brings its own, and nothing of this one's stays.
        os.environb.clear()
        os.environb.update(self.given)
        why = self.left()
        if why is not None:
            self.stop(why)
        os.environb.clear()
        self.given = self.before = None
        return [(path, *known) for path, known in self.files.items()], list(self.variables)

    def left(self):
        """Why it can't stay where it is."""
        loaded = set(loaded_files()) - self.loaded
        if loaded:
            return 'loads %s, which is not loaded ahead' % min(loaded)
        if self.random != random_state():
            return RANDOM
        if ending.is_something_left():
            return 'holds what has something to do at the end'
        return self.seen() or far(self.files) or too_large()


class Seeing(Watched):
    """Of a function that asks for what its first argument names."""

    def __init__(self, function, hear, refuse):
        super().__init__(function, hear)
        self.refuse = refuse

    def __call__(self, *given, **named):
        unknown = named.keys() - {'follow_symlinks', 'effective_ids', 'mode'}
        if unknown:
            self.refuse('looks at files in a way that is not seen (%s of %s)' % (min(unknown), self.__name__))
        return super().__call__(*given, **named)


def class_name(thing):
    return (thing if issubclass(type(thing), type) else type(thing)).__name__


def random_state():
    return sys.modules['random'].getstate() if 'random' in sys.modules else None


def lines_of(path):
    try:
        with open(path, 'rb') as file:
            return file.read().splitlines()
    except OSError:
        return []


def far(files):
    """Whether one lies where a change by others is not seen at once."""
    devices = {known[0]: dirname(path) if S_ISLNK(known[2]) else path
               for path, (_, known) in files.items() if type(known) is tuple}
    for path in devices.values():
        if libc.file_system(path) not in LOCAL:
            return 'looks at %s, whose file system may not tell of each change' % ascii(path)
    return None


def too_large():
    """Whether it holds more memory of its own than it may, where the system tells."""
    try:
        with open('/proc/self/smaps_rollup', 'rb') as file:
            kib = sum(int(line.split()[1]) for line in file if line.startswith((b'Private_Dirty:', b'Private_Clean:')))
    except OSError:
        return None
    return 'takes %d MiB of memory' % (kib // 1024) if kib > MAX_KIB else None
