"""What a module changes outside itself while it is loaded: requests that do not import it are not to find that changed."""

import os
import sys
import types

from fcgi2cgi_view import IGNORED, locale, name_of

# Python itself sets these, of modules and of classes.
OF_PYTHON = {'__annotations__', '__annotations_cache__', '__annotate_func__', '__builtins__',
             '__non_callable_proto_members__', '__protocol_attrs__', '__slotnames__', '__warningregistry__'}
# What modules remember, but nobody sees; what only those use that fill it; and what is looked at as a setting.
REMEMBERED = {
    **dict.fromkeys(('_frozen_importlib', 'importlib._bootstrap'), {'_blocking_on', '_module_locks'}),
    'mercurial.filesetlang': {'symbols'},
    'mercurial.revsetlang': {'symbols'},
    'mercurial.state': {'_unfinishedstates', '_unfinishedstatesbyname'},
    'subprocess': {'_active'},
    'sys': {*IGNORED, 'meta_path'},
    'sysconfig': {'_CONFIG_VARS', '_CONFIG_VARS_INITIALIZED'},
    'warnings': {'filters'},
}
# Functions that tell what is the process's and lies in no module.
SETTINGS = {
    '_csv': ['list_dialects', 'field_size_limit'],
    '_socket': ['getdefaulttimeout'],
    '_tracemalloc': ['is_tracing'],
    'atexit': ['_ncallbacks'],
    'faulthandler': ['is_enabled'],
    'gc': ['isenabled', 'get_threshold', 'get_debug'],
    'sys': ['getrecursionlimit', 'getswitchinterval', 'get_int_max_str_digits', 'getdlopenflags', 'gettrace',
            'getprofile', 'get_asyncgen_hooks', 'get_coroutine_origin_tracking_depth'],
    'threading': ['stack_size'],
}
# It finds only the names that its own module has, wherever that was copied to.
HARMLESS_FINDER = '_SixMetaPathImporter'
# To ask `sys` is watched.
modules = sys.modules
# The standard library's modules change nothing that others see.
LIBRARY = os.path.join(os.path.dirname(os.__file__), '')
# Of <object.h>: a class that nobody can change.
IMMUTABLE = 1 << 8


def is_of_library(path):
    return path.startswith(LIBRARY) and '-packages' not in path[len(LIBRARY):]


class Outside:
    """What there is beside a module that is being loaded: names of modules and of their classes, what lists, sets and
    dictionaries among them hold, and the process's settings."""

    def __init__(self):
        self.known = {}
        self.settings = {}
        self.changed(None, ())

    def changed(self, name, loading):
        """What this module has changed since the last call, by a name; not in those that are still being loaded, which
        nobody has without it."""
        own = (name or '').partition('.')[0]
        found = None
        for known in [each for each in self.known if each not in modules]:
            del self.known[known]
            found = found or ('modules' if known.partition('.')[0] != own else None)
        for each, module in list(modules.items()):
            known = self.known.get(each)
            # Who has a part of a package has the package as well.
            if each == name or each in loading or each.startswith('%s.' % name):
                known = None
            if known is not None and known.module is module and known.is_same():
                continue
            if known is not None and (known.module is not module or known.has_changed()):
                found = found or each
            if known is None and name is not None and each.partition('.')[0] != own and is_another(each, module):
                found = found or each
            if each in loading:
                self.known.pop(each, None)
            else:
                self.note(each)
        settings = all_settings()
        for setting in settings.keys() | self.settings.keys():
            # A module that has just come brings its own; a logger that is named as the module is the module's.
            is_own = setting[1].partition('.')[0] == own if setting[0] == 'logger' else setting not in self.settings
            if not is_own and self.settings.get(setting) != settings.get(setting):
                found = found or ' '.join(setting)
        self.settings = settings
        return found

    def note(self, name):
        module = modules.get(name)
        # Nothing is asked of a module that is only promised, and `sys` is watched.
        if type(module) is types.ModuleType or module is sys:
            self.known[name] = Known(name, module)


def is_another(name, module):
    """Whether it has another name of its own: somebody has put it there."""
    if type(module) is not types.ModuleType:
        return False
    return getattr(getattr(module, '__spec__', None), 'name', None) != name


class Known:
    """A module, as it was."""

    def __init__(self, name, module):
        self.module = module
        self.name = name
        self.namespace = types.ModuleType.__getattribute__(module, '__dict__')
        self.parts = [Part(self.namespace, self.is_counted)]
        self.add(self.namespace, self.is_counted)

    def add(self, namespace, is_counted):
        for name, value in list(namespace.items()):
            if not is_counted(name, value):
                continue
            if type(value) in (dict, list, set):
                if value is not self.namespace:
                    self.parts.append(Part(value))
            elif issubclass(type(value), type) and not value.__flags__ & IMMUTABLE:
                members = type.__getattribute__(value, '__dict__')
                if members.get('__module__') == self.name and namespace is self.namespace:
                    self.parts.append(Part(members, is_kept))
                    self.add(members, is_kept)

    def is_counted(self, name, value):
        """Importing a part of a package gives the package a name for that."""
        return (is_kept(name, value) and name not in REMEMBERED.get(self.name, ())
                and modules.get('%s.%s' % (self.name, name)) is not value)

    def is_same(self):
        """For sure; that takes a fraction of the time."""
        try:
            return all([part.values == list(part.read()) for part in self.parts])
        except Exception:
            return False

    def has_changed(self):
        return any(part.has_changed() for part in self.parts)


def is_kept(name, value):
    """Not so what remembers what was computed, nor the number by which attrs, say, tells what was defined first."""
    return name not in OF_PYTHON and ('count' if type(value) is int else 'cache') not in str(name)


class Part:
    """What something held."""

    def __init__(self, thing, is_counted=lambda name, value: True):
        self.thing = thing
        self.is_counted = is_counted
        self.held = held(thing)
        self.values = list(self.held.values())
        self.read = thing.__iter__ if type(thing) in (list, set) else thing.values

    def has_changed(self):
        now = held(self.thing)
        names = [name for name in {**self.held, **now} if self.held.get(name, self) is not now.get(name, self)]
        return any(self.is_counted(name, now.get(name)) and not (name not in self.held and makes(self.thing, name))
                   for name in names)


def makes(namespace, name):
    """Whether a module makes a name itself when somebody asks for that, as `typing` does."""
    make = namespace.get('__getattr__') if type(namespace) is dict else None
    if type(make) is not types.FunctionType or make.__globals__ is not namespace:
        return False
    value = namespace[name]
    try:
        make(name)
    except Exception:
        return False
    finally:
        namespace[name] = value
    return True


def held(thing):
    return dict(enumerate(thing)) if type(thing) in (list, set) else dict(thing)


def all_settings():
    settings = {('the', 'locale'): locale()}
    for name, functions in SETTINGS.items():
        for function in functions:
            if hasattr(loaded(name), function):
                settings[name, function] = getattr(loaded(name), function)()
    settings['sys', 'meta_path'] = [id(finder) for finder in sys.meta_path
                                    if not name_of(finder).endswith(HARMLESS_FINDER)]
    warnings, decimal, logging = map(loaded, ('warnings', 'decimal', 'logging'))
    if warnings is not None:
        settings['warnings', 'filters'] = [each for each in warnings.filters if not is_of_a_module(each)]
    if decimal is not None and hasattr(decimal, 'getcontext'):
        context = decimal.getcontext().copy()
        context.clear_flags()
        settings['decimal', 'context'] = repr(context)
    if hasattr(logging, 'root'):
        for name, logger in [('', logging.root), *logging.root.manager.loggerDict.items()]:
            handlers = [id(each) for each in getattr(logger, 'handlers', ()) if type(each) is not logging.NullHandler]
            state = [getattr(logger, 'level', 0), getattr(logger, 'propagate', True), logger.disabled, handlers,
                     [*map(id, logger.filters)]] if hasattr(logger, 'filters') else None
            if state not in (None, [0, True, False, [], []]):
                settings['logger', name] = state
        settings['logging', 'disable'] = logging.root.manager.disable
    return settings


def loaded(name):
    module = modules.get(name)
    return module if type(module) is types.ModuleType or module is sys else None


def is_of_a_module(entry):
    """Whether a filter is for one's own warnings only, which begin with the name of a module."""
    message = getattr(entry[1], 'pattern', entry[1])
    return type(message) is str and message.partition('.')[0].partition(' ')[0] in modules
