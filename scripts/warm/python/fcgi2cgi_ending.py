"""How a forked process ends: as any Python, but for what was loaded ahead, which stays as it is.

As it ends, Python takes every module apart. Here that would copy most of the memory that a process shares with its fork
server, which takes longer than many a request. So only what this process has loaded and made itself is taken apart.
"""

import atexit
import gc
import os
import sys
import types
import weakref

import fcgi2cgi_immortal as immortal
import fcgi2cgi_libc as libc

# Not `_exit`: C's own buffers are flushed, and what libraries have to do at the end is done.
_exit = libc.function('exit')

# The modules that were loaded ahead. It holds itself, so that as long as it is frozen nothing takes it apart.
_spared = {'': None}
_spared[''] = _spared


def spare():
    """To be called when everything that is loaded ahead was loaded, and before it is frozen."""
    _spared.update((name, module) for name, module in sys.modules.items() if name not in ('sys', 'builtins'))


def _set_aside():
    """Has Python overlook what was loaded ahead; unless something is alive that is to be finalized, as a file that was
    not closed is: what was loaded ahead may hold it."""
    if is_something_left():
        _leave_to_python()
        return
    for name, module in _spared.items():
        if sys.modules.get(name) is module:
            del sys.modules[name]


def is_something_left():
    things = gc.get_objects()
    kinds = kinds_of(things)
    if any(hasattr(kind, '__del__') for kind in kinds if kind is not types.GeneratorType):
        return True
    # One that has ended has no frame any more.
    return any(kind is types.GeneratorType for kind in kinds) and any(
        type(thing) is types.GeneratorType and thing.gi_frame is not None for thing in things)


def kinds_of(things):
    """Thousands of things are of some hundred types."""
    try:
        kinds = set(map(type, things))
        if all(kind.__hash__ is object.__hash__ for kind in set(map(type, kinds))):
            return kinds
    except TypeError:
        pass
    # A type may say itself which one it equals.
    kinds = list(map(type, things))
    return dict(zip(map(id, kinds), kinds)).values()


def _leave_to_python():
    """Has it take all apart, as what was loaded ahead may hold what is left."""
    immortal.release()
    if hasattr(gc, 'unfreeze'):
        gc.unfreeze()


# What is registered first is done last.
atexit.register(_set_aside)


def end(status):
    """Ends the process. Returns where that has to be left to Python, with nothing undone or done that it minds."""
    # Before, a dictionary can't be read from its end.
    if _exit is None or sys.version_info < (3, 8):
        return
    try:
        if 'threading' in sys.modules:
            sys.modules['threading']._shutdown()
        # The same without a look at each of the modules that were loaded ahead, which copies the memory of each.
        atexit.unregister(_set_aside)
        atexit._run_exitfuncs()
        if is_something_left():
            _leave_to_python()
            return
        flush()
    except BaseException:
        return
    rest = take_new_modules()
    gc.collect()
    for module in filter(None, (reference() for reference in rest)):
        clear(types.ModuleType.__getattribute__(module, '__dict__'))
    try:
        flush()
    except BaseException:
        return
    _exit(status)


def take_new_modules():
    """Takes what this process has loaded and made itself from `sys.modules`, where that is last; the first one first."""
    names = ['__main__']
    for name in reversed(sys.modules):
        if _spared.get(name) is sys.modules[name]:
            break
        names.insert(1, name)
    # Nothing is asked of a module itself: one that demandimport has promised would be loaded.
    return [weakref.ref(sys.modules.pop(name)) for name in names
            if name not in ('sys', 'builtins') and issubclass(type(sys.modules.get(name)), types.ModuleType)]


def flush():
    for stream in sys.stdout, sys.stderr:
        if stream is not None and not stream.closed:
            stream.flush()


def clear(namespace):
    """In the order in which Python does it: first what is private."""
    for is_private in True, False:
        for name in list(namespace):
            if (name[:1] == '_' and name[1:2] != '_') == is_private and name != '__builtins__':
                namespace[name] = None
