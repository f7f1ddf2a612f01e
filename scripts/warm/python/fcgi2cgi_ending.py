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

try:
    import _ctypes
    # What it returns is not `_exit`: C's own buffers are flushed, and what libraries have to do at the end is done.
    _exit = _ctypes.dlsym(_ctypes.dlopen(None, 0), 'exit')
    _call = _ctypes.call_cdeclfunction
    del sys.modules['_ctypes'], _ctypes
except (ImportError, AttributeError, OSError):
    _call = None

# The modules that were loaded ahead. It holds itself, so that as long as it is frozen nothing takes it apart.
_spared = {'': None}
_spared[''] = _spared
_is_aside = False


def spare():
    """To be called when everything that is loaded ahead was loaded, and before it is frozen."""
    _spared.update((name, module) for name, module in sys.modules.items() if name not in ('sys', 'builtins'))


def _set_aside():
    """Has Python overlook what was loaded ahead; unless something is alive that is to be finalized, as a file that was
    not closed is: what was loaded ahead may hold it."""
    if any(map(_is_to_be_finalized, gc.get_objects())):
        return
    global _is_aside
    _is_aside = True
    for name, module in _spared.items():
        if sys.modules.get(name) is module:
            del sys.modules[name]


def _is_to_be_finalized(thing):
    if type(thing) is types.GeneratorType:
        # One that has ended has no frame any more.
        return thing.gi_frame is not None
    return hasattr(type(thing), '__del__')


# What is registered first is done last.
atexit.register(_set_aside)


def end(status):
    """Ends the process. Returns where that has to be left to Python, with nothing undone or done that it minds."""
    if _call is None:
        return
    try:
        if 'threading' in sys.modules:
            sys.modules['threading']._shutdown()
        atexit._run_exitfuncs()
        if not _is_aside:
            return
        flush()
    except BaseException:
        return
    # Nothing is asked of a module itself: one that demandimport has promised would be loaded.
    rest = [weakref.ref(sys.modules.pop(name)) for name, module in list(sys.modules.items())
            if name not in ('sys', 'builtins') and issubclass(type(module), types.ModuleType)]
    module = None
    gc.collect()
    for module in filter(None, (reference() for reference in rest)):
        clear(types.ModuleType.__getattribute__(module, '__dict__'))
    try:
        flush()
    except BaseException:
        return
    _call(_exit, (status,))


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
