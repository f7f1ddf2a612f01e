"""Tries in a process of its own which modules can be loaded ahead: those that then are as in a new process.

A module can't that does, while it is loaded, what gives something else in each process or is to be seen: draws a random
number, asks for the time or its process, reads a device, prints, changes what others see. Nor can one that looks at what
a script had changed before it imported the module. What a module does, those do that load it.
"""

import builtins
import importlib.machinery
import os
import sys
import types
import warnings

from fcgi2cgi_effects import Effects, state
from fcgi2cgi_outside import is_of_library, Outside
from fcgi2cgi_view import Identity, LAZY, NAMED, READ_UNSEEN, number_of

TIME, RANDOM, PROCESS = 'asks for the time', 'draws a random number', 'asks for its process'
ARGUMENTS, SYSTEM = 'looks at the arguments', 'does something to the system'
# What `fcgi2cgi_forked.refresh`, or the module itself, does again after a fork.
REFRESHED = {
    'logging': TIME,
    'mercurial.pycompat': ARGUMENTS,
    'multiprocessing.process': RANDOM,
    'numpy.random': RANDOM,
    'threading': PROCESS,
}
FUNCTIONS = {
    'os': {
        RANDOM: ['urandom', 'getrandom'],
        PROCESS: ['getpid', 'getppid', 'getpgid', 'getpgrp', 'getsid'],
        TIME: ['times', 'getloadavg'],
        SYSTEM: ['_exit', 'abort', 'mkfifo', 'mknod', 'nice', 'removexattr', 'setpgid', 'setpriority', 'setsid'],
    },
    'resource': {TIME: ['getrusage']},
    'signal': {SYSTEM: ['alarm', 'pthread_sigmask', 'setitimer']},
    'time': {
        TIME: ['sleep', *(name + unit for unit in ('', '_ns') for name in (
            'clock_gettime', 'monotonic', 'perf_counter', 'process_time', 'thread_time', 'time'))],
    },
    '_ssl': {RANDOM: ['RAND_bytes', 'RAND_pseudo_bytes']},
    '_thread': {PROCESS: ['get_native_id']},
    '_uuid': {RANDOM: ['generate_time_safe']},
}
# Of `time`: those that ask for the time where this argument is missing.
OF_NOW = {'asctime': 0, 'ctime': 0, 'gmtime': 0, 'localtime': 0, 'strftime': 1}
# Events of sys.addaudithook(); for a dot at the end, all that begin so.
SYSTEM_EVENTS = (
    'os.chmod os.chown os.exec os.fork os.forkpty os.kill os.killpg os.link os.lockf os.mkdir os.posix_spawn os.remove '
    'os.rename os.rmdir os.setxattr os.spawn os.symlink os.system os.truncate os.utime pty.spawn resource.setrlimit '
    'shutil. socket.bind socket.connect socket.gethostbyaddr socket.gethostbyname socket.getaddrinfo socket.sendmsg '
    'socket.sendto sqlite3.connect subprocess.Popen sys.addaudithook sys.setprofile sys.settrace syslog. tempfile.'
).split()
# Files that one module reads while it is loaded: they are looked at before each request.
MAX_FILES = 64


class Wanted:
    """A module that a process has loaded: from which file, and what had changed by then."""

    def __init__(self, value):
        self.path, *self.changes = os.fsdecode(value).split('\1')


class Stopped(BaseException):
    """What is to be seen outside, and each request does, is not done once more by a trial."""


class Trial(Effects):
    """Of modules by their names; what lies below the directory `own` is not to be loaded. The second one, of modules that
    are harmless as far as the first has seen, only tells what they hold."""

    def __init__(self, wanted, view, own, refused, is_second):
        super().__init__()
        self.is_second = is_second
        self.wanted = wanted
        self.view = view
        self.own = own
        self.directory = os.getcwd()
        # What any of them has seen changed.
        self.all_changes = {change for each in wanted.values() for change in each.changes}
        # The built-in functions that the script has replaced by then, as `builtins.NAME=`.
        self.builtins = {}
        # Those that are being loaded, the innermost last, with what they see otherwise; `looks` is what they look at.
        self.loading = []
        self.looks = []
        self.complaints = []
        self.random = None
        # Why not, by the module's name.
        self.refused = refused
        self.files = set()
        # What each has held when it was loaded, as a number.
        self.values = {}
        self.watched_modules = set()
        # What there is beside those that are being loaded; whether each of these is the standard library's.
        self.outside = None
        self.are_of_library = [True]
        # While no code of the innermost one is run.
        self.is_idle = False
        # While it does something itself.
        self.is_deaf = False

    def run(self, load):
        """Loads all, one by one."""
        self.watch_loaders()
        self.watch_functions()
        self.watch_builtins()
        self.watch_sys()
        with self.watched(), warnings.catch_warnings(record=True) as self.complaints:
            sys.addaudithook(self.hear)
            if not self.is_second:
                self.outside = Outside()
            for name, each in self.wanted.items():
                try:
                    if name not in self.refused:
                        load(name, each.path)
                except BaseException as error:
                    self.refused.setdefault(name, '%s fails: %s' % (name, error))

    def enter(self, name, path):
        if self.is_second:
            self.loading.append((name, set()))
            self.looks.append(set())
            if name in self.refused:
                self.refuse('is not to be loaded')
            return
        self.settle()
        self.are_of_library.append(is_of_library(path))
        self.look_outside(self.are_of_library[-2], [name for name, _ in self.loading])
        self.is_deaf = True
        now = set(self.view.changes()) | {LAZY}
        is_own = os.path.realpath(path).startswith(self.own)
        self.is_deaf = False
        wanted = self.wanted.get(name)
        # Else it is one that demandimport has promised the script, which has never used it.
        differences = self.all_changes - now if wanted is None else now.symmetric_difference({LAZY, *wanted.changes})
        self.loading.append((name, {change.partition('=')[0] for change in differences}))
        self.looks.append(set())
        unseen = [change for change in differences
                  if not change.startswith((*NAMED, *self.builtins)) or READ_UNSEEN.match(change)]
        if name in self.refused:
            self.refuse('is not to be loaded')
        elif is_own:
            self.refuse('lies beside the script')
        elif unseen and wanted is not None:
            self.refuse('would see another %s' % unseen[0].partition('=')[0])

    def leave(self, is_last):
        if not self.is_second:
            self.settle()
            self.look_outside(self.are_of_library[-1], [name for name, _ in self.loading][:-1 if is_last else None])
            self.are_of_library.pop()
            self.look_for_builtins(sys.modules.get(self.loading[-1][0]))
        self.note_values(self.loading[-1][0])
        for seen in self.looks.pop() & self.loading[-1][1]:
            self.refuse('looks at %s, which the script has changed' % seen)
        self.loading.pop()
        self.watch_functions()

    def note_values(self, name):
        """Two trials tell what nobody has seen it ask for: what an extension module draws, for one."""
        module = sys.modules.get(name)
        if issubclass(type(module), types.ModuleType) and not refreshed(name):
            self.values[name] = number_of(plain(types.ModuleType.__getattribute__(module, '__dict__'), DEPTH))

    def settle(self):
        """Whatever has changed is the innermost one's doing."""
        self.is_deaf = True
        self.take_printed()
        now = state()
        changed = [what for (what, before), (_, after) in zip(self.before, now) if before != after]
        generator = getattr(sys.modules.get('random'), '_inst', None)
        random = generator and generator.getstate()
        self.is_deaf = False
        if self.printed:
            self.refuse('prints')
        if self.complaints:
            self.refuse('warns')
        if changed:
            self.refuse('changes %s' % changed[0])
        if random != self.random and self.random is not None:
            self.refuse(RANDOM)
        self.printed, self.before, self.random = b'', now, random
        self.complaints.clear()

    def look_outside(self, is_of_library, loading):
        """What the library changes, nobody minds: only that others do not answer for it."""
        if all(self.are_of_library[-2:]) or self.is_idle:
            return
        self.is_deaf = True
        changed = self.outside.changed(self.loading[-1][0] if self.loading else None, loading)
        self.is_deaf = False
        if changed is not None and not is_of_library:
            self.refuse('changes %s' % changed)

    def refuse(self, why):
        if self.is_deaf or not self.loading:
            return
        if why in refreshed(self.loading[-1][0]):
            return
        for name, _ in self.loading:
            self.refused.setdefault(name, '%s %s' % (self.loading[-1][0], why))
        if why == SYSTEM:
            raise Stopped

    def look(self, what):
        if self.looks and not self.is_deaf:
            self.looks[-1].add(what)

    def reads_variable(self, name):
        self.look('env.' + os.fsdecode(name))

    def reads_environment(self):
        self.refuse('reads the whole environment')

    def watch_loaders(self):
        kinds = importlib.machinery
        for kind in kinds.SourceFileLoader, kinds.SourcelessFileLoader, kinds.ExtensionFileLoader:
            for step in 'create_module', 'exec_module':
                setattr(kind, step, self.watched_step(getattr(kind, step), step))

    def watched_step(self, original, which):
        def step(loader, subject):
            name = getattr(subject, 'name', None) or subject.__spec__.name
            is_last = which == 'exec_module'
            # Of a module that is no extension, nothing is run when it is made.
            self.is_idle = not is_last and not isinstance(loader, importlib.machinery.ExtensionFileLoader)
            self.enter(name, loader.path)
            try:
                made = original(loader, subject)
            finally:
                self.leave(is_last)
                self.is_idle = False
            if name in self.refused:
                # So that those that import it later are refused, too.
                raise ImportError(self.refused[name])
            return made

        # Warnings are about who imports, wherever in the import system that is.
        step.__code__ = step.__code__.replace(co_filename='<frozen importlib._bootstrap>')
        return step

    def watch_functions(self):
        """Of the modules that are there by now."""
        for name in set(MODULES).difference(self.watched_modules).intersection(sys.modules):
            self.watched_modules.add(name)
            module = sys.modules[name]
            for why, functions in FUNCTIONS.get(name, {}).items():
                self.replace(module, functions, lambda given, why=why: self.refuse(why))
            if name == 'os':
                self.replace(module, ['stat', 'lstat', 'access', 'readlink'], lambda given: self.read(*given[:1]))
                self.replace(module, ['getcwd', 'getcwdb'], lambda given: self.look('directory'))
            elif name == 'time':
                for function, needed in OF_NOW.items():
                    self.replace(module, [function], lambda given, needed=needed:
                                 self.refuse(TIME) if len(given) <= needed or given[needed] is None else None)
            elif name == '_signal':
                self.replace(module, ['getsignal'], lambda given: self.look('signals'))
            elif name == 'random' and hasattr(module, '_inst'):
                self.watch_generators(module)
            elif name == 'datetime':
                self.watch_dates(module)
            elif name == 'ssl' and hasattr(module, 'SSLContext'):
                self.watch_contexts(module.SSLContext)
            if self.outside is not None:
                self.outside.note(name)

    def watch_generators(self, module):
        own = [name for name, value in vars(module).items() if getattr(value, '__self__', None) is module._inst]
        self.replace(module, [*own, '_urandom'], lambda given: self.refuse(RANDOM))
        original = module.Random.seed

        def seed(generator, a=None, *more, **named):
            if a is None and not named:
                self.refuse(RANDOM)
            return original(generator, a, *more, **named)

        module.Random.seed = seed

    def replace(self, module, names, hear):
        for name in names:
            if hasattr(module, name):
                setattr(module, name, Watched(getattr(module, name), hear))

    def watch_dates(self, module):
        """Its classes can't be changed. Those that take their place take their objects for their own, too."""
        def asking(method):
            def ask(kind, *given, **named):
                self.refuse(TIME)
                return method(*given, **named)

            return classmethod(ask)

        for name, methods in ('date', ['today']), ('datetime', ['today', 'now', 'utcnow']):
            original = getattr(module, name, None)
            if type(original) is not type:
                continue
            kind = type('Kind', (type,), {
                '__instancecheck__': lambda kind, value, original=original: isinstance(value, original),
                '__subclasscheck__': lambda kind, value, original=original: issubclass(value, original),
            })
            setattr(module, name, kind(name, (original,), {method: asking(getattr(original, method)) for method in methods}))

    def watch_contexts(self, kind):
        original = kind.__new__

        def new(kind, *given, **named):
            # OpenSSL draws its keys.
            self.refuse(RANDOM)
            return original(kind, *given, **named)

        kind.__new__ = staticmethod(new)

    def watch_builtins(self):
        """Those that a module calls while it is loaded, or keeps, are to be those of a new process."""
        for name in {change.partition('=')[0] for change in self.all_changes if change.startswith('builtins.')}:
            function = getattr(builtins, name.partition('.')[2], None)
            if type(function) in (types.FunctionType, types.BuiltinFunctionType):
                self.replace(builtins, [name.partition('.')[2]], lambda given, name=name: self.look(name))
                watched = getattr(builtins, name.partition('.')[2])
                self.builtins[name + '='] = watched
                self.view.first[name] = Identity(id(watched))

    def look_for_builtins(self, module):
        kept = {id(function): name for name, function in self.builtins.items()}
        if not kept or not issubclass(type(module), types.ModuleType):
            return
        values = list(types.ModuleType.__getattribute__(module, '__dict__').values())
        for value in values[:]:
            # Nothing is asked of a module that is only promised.
            if issubclass(type(value), type) and value.__module__ == self.loading[-1][0]:
                values += vars(value).values()
        for value in values[:]:
            if type(value) is types.FunctionType:
                values += [*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values()]
        for value in values:
            if id(value) in kept:
                self.look(kept[id(value)][:-1])

    def watch_sys(self, frame_of=sys._getframe):
        class Module(types.ModuleType):
            # The import system makes modules of the same kind.
            def __new__(kind, *given):
                return types.ModuleType(*given)

            def __getattribute__(module, name):
                if self.loading and not is_importing(frame_of(1)):
                    if name in ('argv', 'orig_argv'):
                        self.refuse(ARGUMENTS)
                    self.look('sys.' + name)
                return types.ModuleType.__getattribute__(module, name)

        sys.__class__ = Module

    def hear(self, event, given, frame_of=sys._getframe):
        if event == 'sys._getframe' or self.is_deaf or not self.loading:
            return
        if event == 'open':
            path, _, flags = given
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC):
                # But for bytecode.
                if not is_importing(frame_of(1)):
                    self.refuse(SYSTEM)
            elif not is_importing(frame_of(1)) or not os.fsdecode(path).endswith(SUFFIXES):
                self.read(path)
        elif event in ('os.listdir', 'os.scandir'):
            if not is_importing(frame_of(1)):
                self.read(given[0] or '.')
        elif event in SYSTEM_EVENTS or event.partition('.')[0] + '.' in SYSTEM_EVENTS:
            self.refuse(SYSTEM)

    def read(self, path):
        """What it has become depends on this file, or that it is not there."""
        if self.is_deaf or not self.loading or not isinstance(path, (str, bytes, os.PathLike)):
            return
        path = os.path.join(self.directory, os.fsdecode(path))
        if path.startswith(('/dev/', '/proc/', '/sys/')) and path != '/dev/null':
            self.refuse('reads ' + path)
        elif len(self.files) < MAX_FILES:
            self.files.add(path)
        else:
            self.refuse('reads many files')


MODULES = *FUNCTIONS, '_signal', 'datetime', 'random', 'ssl'
DEPTH = 4
SUFFIXES = tuple(importlib.machinery.all_suffixes())


def refreshed(name):
    """What is done again of what the module, or the package that it belongs to, does."""
    parts = name.split('.')
    names = ['.'.join(parts[:count]) for count in range(1, len(parts) + 1)]
    return [REFRESHED[each] for each in names if each in REFRESHED]


def plain(value, depth):
    """What can be compared of it, without asking it."""
    kind = type(value)
    if kind in (str, bytes, int, float, complex, bool):
        return value
    if depth == 0 or issubclass(kind, types.ModuleType):
        return None
    if kind in (list, tuple):
        return [plain(each, depth - 1) for each in value]
    if kind is dict:
        return [(plain(name, 1), plain(each, depth - 1)) for name, each in value.items()
                if type(name) is not str or not name.startswith('__')]
    if kind in (set, frozenset):
        return sorted(ascii(plain(each, 1)) for each in value)
    try:
        return plain(dict(object.__getattribute__(value, '__dict__')), depth - 1)
    except AttributeError:
        return None


def is_importing(frame):
    return frame.f_code.co_filename.startswith('<frozen importlib')


class Watched:
    """A function in whose place this is called; no method where it is a class's."""

    def __init__(self, function, hear):
        self.__wrapped__ = function
        self.__name__ = self.__qualname__ = function.__name__
        self.__module__, self.__doc__ = function.__module__, function.__doc__
        self.hear = hear

    # As in `os.supports_fd`.
    def __hash__(self):
        return hash(self.__wrapped__)

    def __eq__(self, other):
        return self.__wrapped__ is getattr(other, '__wrapped__', other)

    def __call__(self, *given, **named):
        self.hear(given)
        return self.__wrapped__(*given, **named)
