"""Gives what processes share the reference count that Python 3.12 and 3.13 never change (PEP 683): to use it then copies
no memory.

Nothing is shared so that something of a process's own would live on at its end: neither what can hold other things
later, as lists do, nor what holds such a thing.
"""

import gc
import sys
import types

import fcgi2cgi_libc as libc

# Of 64 bits, as None has it.
IMMORTAL = 0xFFFF_FFFF
LEAVES = frozenset((
    str, bytes, int, float, complex, types.MethodDescriptorType, types.WrapperDescriptorType,
    types.GetSetDescriptorType, types.MemberDescriptorType, types.ClassMethodDescriptorType))
NESTED = tuple, frozenset
# How deep tuples may lie in each other.
MAX_DEPTH = 8

# Python itself keeps those that have no attributes; what a process gives them is taken from them at its end.
functions = []


def is_known():
    """Whether this is a Python whose objects begin with such a count, and with their type after it."""
    if sys.implementation.name != 'cpython' or not (3, 12) <= sys.version_info[:2] <= (3, 13):
        return False
    if 't' in sys.abiflags or hasattr(sys, 'gettotalrefcount') or sys.maxsize != 2 ** 63 - 1 or libc.Word is None:
        return False
    own = [object(), ('a', len(sys.argv)), 'b%d' % len(sys.argv)]
    own += own
    for thing in own:
        # The list, the loop's name, and the argument; or as many as the other one counts.
        if word(thing, 0).value != sys.getrefcount(thing) - 1 or word(thing, 1).value != id(type(thing)):
            return False
    return all(word(thing, 0).value == IMMORTAL == sys.getrefcount(thing) for thing in (None, True, 1, ()))


def word(thing, number):
    return libc.Word.from_address(id(thing) + 8 * number)


def share():
    """What there is and fits."""
    if is_known():
        immortal = Immortal()
        immortal.take_all()
        functions.extend(immortal.functions)


def release():
    """In a process that ends with something left to be done: its own things go from what stays."""
    for function in functions:
        function.__dict__.clear()


class Immortal:
    def __init__(self):
        self.ids = set()
        self.functions = []

    def take_all(self):
        seen, found, rest = set(), [], gc.get_objects()
        mine = {id(each) for each in (self, vars(self), self.ids, self.functions, seen, found, rest)}
        seen.update(mine)
        while rest:
            thing = rest.pop()
            if id(thing) in seen:
                continue
            seen.add(id(thing))
            kind = type(thing)
            if kind in LEAVES or kind is types.ModuleType or issubclass(kind, type):
                self.take(thing)
            elif kind is types.CodeType:
                self.take(thing)
                rest += (thing.co_consts, thing.co_names, thing.co_name, thing.co_qualname, thing.co_filename,
                         thing.co_linetable, thing.co_exceptiontable)
                continue
            elif kind in NESTED or kind is types.FunctionType or kind is types.BuiltinFunctionType:
                found.append(thing)
            rest += gc.get_referents(thing)
        for _ in range(MAX_DEPTH):
            found = [thing for thing in found if not self.fits(thing)]

    def take(self, thing):
        self.ids.add(id(thing))
        count = word(thing, 0)
        if count.value != IMMORTAL:
            count.value = IMMORTAL

    def fits(self, thing):
        """Takes it, if all that it holds was taken."""
        kind = type(thing)
        if kind is types.FunctionType:
            is_fit = self.has_all(held for held in gc.get_referents(thing)
                                  if held is not thing.__globals__ and held is not thing.__builtins__)
        elif kind is types.BuiltinFunctionType:
            is_fit = self.has_all([thing.__self__])
        else:
            is_fit = self.has_all(thing)
        if is_fit:
            self.take(thing)
            if kind is types.FunctionType:
                self.functions.append(thing)
        return is_fit

    def has_all(self, things):
        return all(id(thing) in self.ids or word(thing, 0).value == IMMORTAL for thing in things)
