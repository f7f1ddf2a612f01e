"""Functions of the C library that Python has no names for; without `_ctypes` there are none."""

import struct
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

    class Word(_ctypes._SimpleCData):
        """Eight bytes of memory."""
        _type_ = 'Q'
except (ImportError, AttributeError, OSError):
    _ctypes = Word = None


def function(name):
    """A function that takes Address, Size and small numbers, and returns a small number; None where the C library lacks it."""
    try:
        address = _ctypes.dlsym(_library, name)
    except (AttributeError, OSError):
        return None
    return _callable(address)


def _callable(address):
    call = _ctypes.call_cdeclfunction
    return lambda *arguments: call(address, arguments)


_statfs = function('statfs')


def file_system(path):
    """The kind of file system that a path lies on, by its number in <linux/magic.h>; None where nobody can tell."""
    # As large as struct statfs at least. It begins with the kind.
    buffer = bytes(bytearray(512))
    if _statfs is None or _statfs(path, buffer) != 0:
        return None
    return struct.unpack_from('@l', buffer)[0]


# OPENSSL_INIT_NO_ATEXIT of <openssl/crypto.h>.
NO_ATEXIT = 0x00080000


def spare_openssl(extension):
    """Has the OpenSSL that this extension module brings not free its memory, piece by piece, when a process ends: that
    copies 260 pages first. To be called before the module is loaded."""
    try:
        _callable(_ctypes.dlsym(_ctypes.dlopen(extension, 0), 'OPENSSL_init_crypto'))(Size(NO_ATEXIT), None)
    except (AttributeError, OSError):
        # It is an older one, or another library.
        pass
