"""Functions of the C library that Python has no names for; without `_ctypes` there are none."""

import sys

try:
    import _ctypes
    # A script may want to load it itself.
    del sys.modules['_ctypes']
    _library = _ctypes.dlopen(None, 0)

    class Address(_ctypes._SimpleCData):
        _type_ = 'P'

    class Size(_ctypes._SimpleCData):
        _type_ = 'L'
except (ImportError, AttributeError, OSError):
    _ctypes = None


def function(name):
    """A function that takes Address, Size and small numbers, and returns a small number; None where there is none."""
    try:
        address = _ctypes.dlsym(_library, name)
    except (AttributeError, OSError):
        return None
    call = _ctypes.call_cdeclfunction
    return lambda *arguments: call(address, arguments)
